"""
``etlplus runs``: executions in the running daemon.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_daemon, add_group, parameters

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from etlplus.client import Client
    from etlplus.jobs.views import RunView

    Act = Callable[[Client, argparse.Namespace], Awaitable[int]]


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "runs", "start, follow, list, show and cancel runs in the running daemon")
    listing = _command(group, "list", "list runs, newest first", _list)
    listing.add_argument("--job", help="only runs of this job")
    listing.add_argument("--state", help="only runs in this state, for example failed")
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    start = _command(group, "start", "ask for a run of a job now", _start)
    start.add_argument("job", metavar="JOB", help="its name or id")
    start.add_argument("--param", metavar="NAME=VALUE", action="append", default=[], help="a parameter of the run")
    start.add_argument("--key", help="asking again with the same key gives the same run")
    start.add_argument("--follow", action="store_true", help="watch it to its end; its outcome is the exit status")
    for name, summary, act in (
        ("show", "show a run with its attempts and what happened to it", _show),
        ("follow", "watch a run to its end; its outcome is the exit status", _follow),
        ("cancel", "stop a run", _cancel),
        ("rejects", "list the rows that a run refused, with their reasons", _rejects),
    ):
        _command(group, name, summary, act).add_argument("run", metavar="RUN", help="its id")


def _command(group: Commands, name: str, summary: str, act: Act) -> argparse.ArgumentParser:
    parser = add_command(group, name, summary)
    add_daemon(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")

    def carry_out(chosen: argparse.Namespace) -> int:
        from etlplus.cli.connection import with_client  # help must not wait for it

        return with_client(chosen, lambda client: act(client, chosen))

    parser.set_defaults(act=carry_out)
    return parser


async def _list(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.runs.list(job=chosen.job, state=chosen.state, limit=chosen.limit)
    rows = [(run.id, run.job_name, run.state, run.attempt, run.created_at, run.finished_at) for run in page.items]
    show(page, as_json=chosen.json, text=columns(("ID", "JOB", "STATE", "ATTEMPT", "CREATED", "FINISHED"), rows))
    return 0


async def _start(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    run = await client.runs.start(chosen.job, parameters(chosen.param), key=chosen.key)
    if chosen.follow:
        return await _to_the_end(client, run, as_json=chosen.json)
    show(run, as_json=chosen.json, text=run.id)
    return 0


async def _follow(client: Client, chosen: argparse.Namespace) -> int:
    return await _to_the_end(client, await client.runs.get(chosen.run), as_json=chosen.json)


async def _to_the_end(client: Client, run: RunView, *, as_json: bool) -> int:
    from etlplus.cli.connection import show
    from etlplus.cli.following import exit_of_run, follow
    from etlplus.cli.progress import ProgressLine, summary

    ended = await follow(run, client.runs.follow(run.id), ProgressLine(sys.stderr))
    show(ended, as_json=as_json, text=summary(ended))
    return exit_of_run(ended)


async def _show(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show
    from etlplus.cli.progress import summary

    detail = await client.runs.detail(chosen.run)
    events = columns(
        ("AT", "HAPPENED", "STATE", "ATTEMPT"),
        [(event.at, event.kind, event.state.value, event.attempt) for event in detail.events],
    )
    show(detail, as_json=chosen.json, text=f"{summary(detail.run)}\n\n{events}")
    return 0


async def _cancel(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show

    run = await client.runs.cancel(chosen.run)
    show(run, as_json=chosen.json, text=f"{run.id} {'is being cancelled' if not run.finished else run.state}")
    return 0


async def _rejects(client: Client, chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show

    page = await client.runs.rejects(chosen.run)
    rows = [(reject.source, reject.position, "; ".join(reject.reasons), reject.raw) for reject in page.items]
    show(page, as_json=chosen.json, text=columns(("SOURCE", "POSITION", "REASONS", "RAW"), rows))
    return 0
