"""
Procrastinate as in its quickstart: an asynchronous app over psycopg and one worker with its defaults.

Its worker executes one run at a time by default. A higher ``concurrency`` changes little for runs that do nothing, since each
is fetched and finished by a call of its own. Enqueueing is one batch. A run is acknowledged when its row says ``succeeded``.
psycopg comes with its compiled half, which is the faster one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import procrastinate
import stopwatch

LEFT = "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing')) AS answer"
DONE = "SELECT count(*) AS answer FROM procrastinate_jobs WHERE status = 'succeeded'"

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=stopwatch.ADDRESS))


@app.task(name="noop")
async def noop() -> None:
    """Nothing but a note."""
    stopwatch.executed()


async def main() -> None:
    """Enqueue, burn, report."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await noop.batch_defer_async(*[{} for _ in range(stopwatch.RUNS)])
        await app.connector.execute_query_async("ANALYZE")
        worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False, **stopwatch.SETTINGS))

        async def settled() -> bool:
            return not (await app.connector.execute_query_one_async(LEFT))["answer"]

        until = await stopwatch.wait_until_async(settled)
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        done = await app.connector.execute_query_one_async(DONE)
    stopwatch.report(stopwatch.SETTINGS | {"processes": 1}, done["answer"], until)


asyncio.run(main())
