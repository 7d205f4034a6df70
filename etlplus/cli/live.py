"""
``etlplus runs --follow``: every run of the daemon as it changes, one line for each transition.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from etlplus.cli.daemon_command import make_daemon_command

if TYPE_CHECKING:
    from etlplus.client import Client
    from etlplus.jobs.views import RunView

_STATE_WIDTH = 9


def add_live_to(parser: argparse.ArgumentParser) -> None:
    """Give a group of commands the option to follow all runs; without it, the group shows its help."""
    teach: Callable[[argparse.Namespace], int] = parser.get_default("act")
    make_daemon_command(parser, live)
    follow: Callable[[argparse.Namespace], int] = parser.get_default("act")

    def follow_or_teach(chosen: argparse.Namespace) -> int:
        return follow(chosen) if chosen.follow else teach(chosen)

    parser.add_argument("--follow", action="store_true", help="show every run as it changes, until interrupted")
    parser.set_defaults(act=follow_or_teach, job=None, queue=None, state=None)


async def live(client: Client, chosen: argparse.Namespace) -> int:
    """Show the runs that fit, as they stand and then as they change, until interrupted; with ``--json``, one a line."""
    import msgspec

    from etlplus.actors.news import RunNews

    job = (await client.jobs.get(chosen.job)).id if chosen.job else None
    wanted = {name: getattr(chosen, name) for name in ("queue", "state")} | {"job_id": job}
    async with aclosing(client.runs.follow()) as news:
        async for told in news:
            if isinstance(told, RunNews) and all(
                value is None or getattr(told.run, name) == value for name, value in wanted.items()
            ):
                text = msgspec.json.encode(told.run).decode() if chosen.json else _line(told.run, told.at)
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
    return 0


def _line(run: RunView, at: object) -> str:
    error = f"  {run.error.code}: {run.error.message}" if run.error and run.state != "succeeded" else ""
    attempt = f"  attempt {run.attempt} of {run.attempts_max}" if run.attempt else ""
    return f"{at:%Y-%m-%d %H:%M:%SZ}  {run.id}  {run.state:{_STATE_WIDTH}}  {run.job_name}{attempt}{error}"
