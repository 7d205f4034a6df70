"""
``etlplus runs start`` and ``etlplus runs start-many``: asking for one run, or for as many as stand in a file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from etlplus.cli.arguments import add_interval, add_parameters, interval, moment, parameters
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.errors import Conflict, Invalid, Problem

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.jobs.model import Uniqueness
    from etlplus.jobs.views import RunView
    from etlplus.service.wishes import RunWish

UNFINISHED = ("scheduled", "blocked", "queued", "running")
STATES = (*UNFINISHED, "succeeded", "failed", "cancelled", "skipped")
CONFLICTS = ("existing", "reject", "replace")
KEY_ONLY = ("on_conflict", "period", "states")
_LINES = """\
each line is a run as JSON, with the fields that the API takes; all are made, or none:
  {"job": "people", "params": {"day": "2026-03-28"}}
  {"job": "people", "priority": 1, "unique_key": "monday"}
"""


def add_start(group: Commands) -> None:
    """Teach ``runs`` to start some."""
    start = add_daemon_command(group, "start", "ask for a run of a job, now or later", _start)
    start.add_argument("job", metavar="JOB", help="its name or id")
    add_parameters(start)
    start.add_argument("--at", metavar="TIME", help="not before this moment, such as 2030-01-31T18:00:00Z")
    start.add_argument("--priority", type=int, metavar="N", help="0 to 1000, smaller first (without: the job's)")
    add_interval(start)
    _add_key(start)
    start.add_argument("--once", metavar="KEY", help="asking again with this key within a day gives the same run")
    start.add_argument("--follow", action="store_true", help="watch it to its end; its outcome is the exit status")
    many = add_daemon_command(group, "start-many", "ask for all runs of a file, up to 10,000", _start_many, _LINES)
    many.add_argument("file", metavar="FILE", type=Path, help="a line for each run; - is standard input")
    many.add_argument("--once", metavar="KEY", help="asking again with this key within a day gives the same runs")


def _add_key(start: argparse.ArgumentParser) -> None:
    start.add_argument("--key", help="while a run with this key is unfinished, the answer is that run")
    start.add_argument("--on-conflict", choices=CONFLICTS, help="what becomes of it while the key is taken (existing)")
    start.add_argument("--period", type=float, metavar="SECONDS", help="for so long after its run was made, at most")
    start.add_argument(
        "--while", dest="states", choices=STATES, action="append", help="and while its run is so (unfinished)"
    )


async def _start(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    run = await client.runs.start(
        chosen.job,
        parameters(chosen.param),
        run_at=moment("--at", chosen.at) if chosen.at else None,
        priority=chosen.priority,
        interval=interval(chosen.interval),
        key=chosen.key,
        unique=_uniqueness(chosen),
        idempotency_key=chosen.once,
    )
    if chosen.follow:
        return await to_the_end(client, run, as_json=chosen.json)
    show(run, as_json=chosen.json, text=run.id)
    return 0


async def to_the_end(client: Client, run: RunView, *, as_json: bool) -> int:
    """Show a run until it has ended; its outcome is the exit status."""
    from etlplus.cli.connection import show
    from etlplus.cli.following import exit_of_run, follow
    from etlplus.cli.progress import ProgressLine, summary

    ended = await follow(run, client.runs.follow(run.id), ProgressLine(sys.stderr))
    show(ended, as_json=as_json, text=summary(ended))
    return exit_of_run(ended)


def _uniqueness(chosen: argparse.Namespace) -> Uniqueness | None:
    """What the options say about a taken key; None if they say nothing."""
    from etlplus.jobs.model import RunState, Uniqueness

    given = [name for name in KEY_ONLY if getattr(chosen, name) is not None]
    if given and chosen.key is None:
        option = "--while" if given[0] == "states" else f"--{given[0].replace('_', '-')}"
        raise _not_understood(Problem(f"{option} is about a key", suggestion="give --key"))
    return Uniqueness(
        period_s=chosen.period,
        states=tuple(RunState(state) for state in chosen.states or UNFINISHED),
        on_conflict=chosen.on_conflict or "existing",
    )


async def _start_many(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    places, wishes = _read(chosen.file)
    try:
        made = await client.runs.start_many(wishes, idempotency_key=chosen.once)
    except (Invalid, Conflict) as error:
        placed = [_placed(problem, chosen.file, places) for problem in error.problems]
        raise type(error)(error.message, placed, code=error.reason) from error
    show(made, as_json=chosen.json, text=f"{made.made:,} made, {made.existing:,} were there already")
    return 0


def _read(file: Path) -> tuple[list[int], list[RunWish]]:
    """The wishes of a file, with the line of each; lines without anything are left out."""
    import msgspec

    from etlplus.service.wishes import RunWish

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("The file cannot be used.", [Problem(f"cannot be read: {error}", file=str(file))]) from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    wishes: list[RunWish] = []
    for number, line in lines:
        try:
            wishes.append(msgspec.json.decode(line, type=RunWish))
        except msgspec.DecodeError as error:
            raise Invalid("The file cannot be used.", [Problem(str(error), file=str(file), line=number)]) from error
    return [number for number, _ in lines], wishes


def _placed(problem: Problem, file: Path, places: list[int]) -> Problem:
    """A problem with a run, by the line that asks for it."""
    import msgspec

    runs, number, field = [*problem.pointer[1:].split("/", 2), "", ""][:3]
    if runs != "runs" or not number.isdecimal():
        return problem
    message = f"{field}: {problem.message}" if field else problem.message
    return msgspec.structs.replace(problem, message=message, file=str(file), line=places[int(number)])


def _not_understood(problem: Problem) -> Invalid:
    return Invalid("The command line was not understood.", [problem])
