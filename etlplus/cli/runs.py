"""
``etlplus runs`` and ``etlplus why``: executions in the running daemon.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from etlplus.cli.arguments import add_group
from etlplus.cli.cancelling import add_cancel
from etlplus.cli.daemon_command import add_daemon_command
from etlplus.cli.live import live
from etlplus.cli.logs import add_logs_to
from etlplus.cli.starting import STATES, add_start, to_the_end

if TYPE_CHECKING:
    from etlplus.cli.arguments import Commands
    from etlplus.client import Client
    from etlplus.jobs.views import RunView


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    why = add_daemon_command(commands, "why", "say why a run is not running", _why)
    why.add_argument("run", metavar="RUN", help="its id")
    group = add_group(commands, "runs", "start, follow, list, show and cancel runs in the running daemon")
    _add_list(group)
    add_start(group)
    for name, summary, act in (
        ("show", "show a run with its attempts and what happened to it", _show),
        ("follow", "watch a run to its end; its outcome is the exit status", _follow),
        ("rejects", "list the rows that a run refused, with their reasons", _rejects),
    ):
        add_daemon_command(group, name, summary, act).add_argument("run", metavar="RUN", help="its id")
    add_cancel(group)
    add_logs_to(group)


def _add_list(group: Commands) -> None:
    listing = add_daemon_command(group, "list", "list runs, newest first", _list)
    listing.add_argument("--job", help="only runs of this job")
    listing.add_argument("--queue", help="only runs in this queue")
    listing.add_argument("--state", choices=STATES, metavar="STATE", help="only runs in this state, for example failed")
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    listing.add_argument("--follow", action="store_true", help="show every run as it changes, until interrupted")


async def _list(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    if chosen.follow:
        return await live(client, chosen)
    page = await client.runs.list(job=chosen.job, queue=chosen.queue, state=chosen.state, limit=chosen.limit)
    rows = [(run.id, run.job_name, run.state, run.attempt, run.created_at, run.finished_at) for run in page.items]
    show(page, as_json=chosen.json, text=columns(("ID", "JOB", "STATE", "ATTEMPT", "CREATED", "FINISHED"), rows))
    return 0


async def _follow(client: Client, chosen: argparse.Namespace) -> int:
    return await to_the_end(client, await client.runs.get(chosen.run), as_json=chosen.json)


async def _show(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show
    from etlplus.cli.progress import summary

    detail = await client.runs.detail(chosen.run)
    attempts = columns(
        ("NUMBER", "WORKER", "BEGAN", "ENDED", "AS"),
        [(each.number, each.worker_id, each.started_at, each.finished_at, each.ended) for each in detail.attempts],
    )
    events = columns(
        ("AT", "HAPPENED", "STATE", "ATTEMPT"),
        [(event.at, event.kind, event.state.value, event.attempt) for event in detail.events],
    )
    asked = _asked(detail.run)
    parts = [summary(detail.run), *([asked] if asked else []), *([attempts] if detail.attempts else []), events]
    show(detail, as_json=chosen.json, text="\n\n".join(parts))
    return 0


def _asked(run: RunView) -> str:
    """What the run was asked with, in a line for each thing."""
    import msgspec

    lines = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in run.params.items()]
    if run.interval is not None:
        lines.append("interval = " + "/".join(end.isoformat().replace("+00:00", "Z") for end in run.interval))
    if run.unique_key is not None:
        lines.append(f"unique key = {run.unique_key}")
    if run.replay_of is not None:
        lines.append(f"replay of {run.replay_of}")
    return "\n".join(lines)


async def _why(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    why = await client.runs.why(chosen.run)
    show(why, as_json=chosen.json, text="\n".join([f"run {why.run_id} is {why.state}", *why.sentences]))
    return 0


async def _rejects(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.runs.rejects(chosen.run)
    rows = [(reject.source, reject.position, "; ".join(reject.reasons), reject.raw) for reject in page.items]
    show(page, as_json=chosen.json, text=columns(("SOURCE", "POSITION", "REASONS", "RAW"), rows))
    return 0
