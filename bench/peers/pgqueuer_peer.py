"""
PgQueuer, set as in its own benchmark: five managers in one process on uvloop, with an asyncpg connection each.

``pgq run`` starts one manager with batches of ten; five are a little faster. Its guide to tuning recommends ``pgq autovac``
after the installation, a single connection for a manager, and larger batches for short runs. The entry ``pgqueuer-tuned``
has batches of a hundred, which serve one manager best: five are no faster then, and three hundred are slower. Enqueueing is
one statement for all runs. A run is acknowledged when it has left the queue's table for the log.
"""

from __future__ import annotations

import asyncio

import asyncpg
import stopwatch
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries


async def manager() -> PgQueuer:
    """One that notes what it executes."""
    made = PgQueuer(AsyncpgDriver(await asyncpg.connect(stopwatch.ADDRESS)))

    @made.entrypoint("noop")
    async def noop(job: Job) -> None:
        stopwatch.executed()

    return made


async def enqueue(connection: asyncpg.Connection) -> None:
    """All runs, into tables set up as recommended."""
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    await queries.enqueue(["noop"] * stopwatch.RUNS, [None] * stopwatch.RUNS, [0] * stopwatch.RUNS)
    await connection.execute("ANALYZE")


async def main() -> None:
    """Enqueue, burn, report."""
    connection = await asyncpg.connect(stopwatch.ADDRESS)
    await enqueue(connection)
    managers = [await manager() for _ in range(stopwatch.SETTINGS["workers"])]
    batch_size = stopwatch.SETTINGS["batch_size"]
    running = [asyncio.create_task(each.run(batch_size=batch_size)) for each in managers]

    async def settled() -> bool:
        return await connection.fetchval("SELECT NOT EXISTS (SELECT FROM pgqueuer)")

    until = await stopwatch.wait_until_async(settled)
    for each in managers:
        each.shutdown.set()
    await asyncio.gather(*running)
    logged = "SELECT count(DISTINCT job_id) FROM pgqueuer_log WHERE status = 'successful'"
    stopwatch.report(stopwatch.SETTINGS | {"processes": 1}, await connection.fetchval(logged), until)


uvloop.run(main())
