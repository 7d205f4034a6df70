"""
``etlplus runs --follow`` and ``etlplus queues --follow``: every run of the daemon as it changes, one line for each transition;
every queue, one line whenever it or what waits in it has changed.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etlplus.client import Client
    from etlplus.jobs.queues import QueueCounts
    from etlplus.jobs.views import RunView

_STATE_WIDTH = 9
_MODE_WIDTH = 8


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
                _say(msgspec.json.encode(told.run).decode() if chosen.json else _line(told.run, told.at))
    return 0


async def live_queues(client: Client, chosen: argparse.Namespace) -> int:
    """Show all queues as they stand and then as they change, until interrupted; with ``--json`` the news as told, one a line."""
    import msgspec

    from etlplus.actors.news import QueuesNews, Snapshot

    async with aclosing(client.queues.follow()) as news:
        async for told in news:
            if not isinstance(told, Snapshot | QueuesNews):
                continue
            if chosen.json:
                _say(msgspec.json.encode(told).decode())
                continue
            gone = told.queues_gone if isinstance(told, QueuesNews) else []
            for line in (*map(_queue_line, told.queues or ()), *(f"{name}  gone" for name in gone)):
                _say(line)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _line(run: RunView, at: object) -> str:
    error = f"  {run.error.code}: {run.error.message}" if run.error and run.state != "succeeded" else ""
    attempt = f"  attempt {run.attempt} of {run.attempts_max}" if run.attempt else ""
    return f"{at:%Y-%m-%d %H:%M:%SZ}  {run.id}  {run.state:{_STATE_WIDTH}}  {run.job_name}{attempt}{error}"


def _queue_line(counts: QueueCounts) -> str:
    queue = counts.queue
    slots = "" if queue.slots is None else f" (up to {queue.slots} at once)"
    return (
        f"{queue.name}  {queue.mode:{_MODE_WIDTH}}  queued {counts.queued}  scheduled {counts.scheduled}"
        f"  running {counts.running}{slots}"
    )
