"""
Oban for Python as in its quickstart: one instance on uvloop, as its command line runs it, with a queue limited to ten.

It claims and acknowledges as many at a time as the limit lets run, so a higher limit is faster for runs that do nothing:
``oban-tuned`` has fifty, the highest that its guide to queues shows. The pool of connections is the one that Oban makes, with
its defaults. Acknowledging many runs by one statement is part of its paid edition and not measured. Enqueueing is
``enqueue_many``. A run is acknowledged when its row says ``completed``.
"""

from __future__ import annotations

from typing import Any

import stopwatch
import uvloop
from oban import Oban, worker
from oban.schema import install

LEFT = "SELECT EXISTS (SELECT FROM oban_jobs WHERE state IN ('available', 'executing'))"
DONE = "SELECT count(*) FROM oban_jobs WHERE state = 'completed'"


@worker()
class Noop:
    """Nothing but a note."""

    async def process(self, job: object) -> None:
        """Note it."""
        stopwatch.executed()


async def enqueue(pool: Any) -> None:
    """All runs, by an instance that executes none."""
    await install(pool)
    async with Oban(pool=pool) as client:
        await client.enqueue_many(Noop.new() for _ in range(stopwatch.RUNS))
    async with pool.connection() as connection:
        await connection.execute("ANALYZE")


async def main() -> None:
    """Enqueue, burn, report."""
    pool = await Oban.create_pool(stopwatch.ADDRESS)

    async def answer(question: str) -> Any:
        async with pool.connection() as connection:
            return (await (await connection.execute(question)).fetchone())[0]

    async def settled() -> bool:
        return not await answer(LEFT)

    await enqueue(pool)
    async with Oban(pool=pool, queues={"default": stopwatch.SETTINGS["limit"]}):
        until = await stopwatch.wait_until_async(settled)
    acknowledged = await answer(DONE)
    await pool.close()
    stopwatch.report(stopwatch.SETTINGS | {"processes": 1}, acknowledged, until)


uvloop.run(main())
