"""
``etlplus runs --follow``: every run of the daemon as it changes, one line for each transition.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlplus.client import Client
    from etlplus.jobs.views import RunView

_STATE_WIDTH = 9


async def live(client: Client, chosen: argparse.Namespace) -> int:
    """Show the runs that fit, as they stand and then as they change, until interrupted; with ``--json``, one a line."""
    import msgspec

    from etlplus.actors.news import RunNews

    job = (await client.jobs.get(chosen.job)).id if chosen.job else None
    if chosen.queue:
        await client.queues.get(chosen.queue)  # which says so if there is none
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
