"""
Procrastinate as in its quickstart: an app over psycopg, a plain function, and a worker from its command line with its defaults.

Such a worker executes one run at a time, in a thread, and logs two lines for each. The entry ``procrastinate-tuned`` has a
coroutine instead, in a worker within the script's process, which logs nothing. A higher ``concurrency`` changes little for runs
that do nothing, since each is fetched and finished by a call of its own. Enqueueing is one batch. A run is acknowledged when its
row says ``succeeded``. psycopg comes with its compiled half, which is the faster one.
"""

from __future__ import annotations

import asyncio
import atexit
from contextlib import suppress

import procrastinate
import stopwatch

MODULE = "procrastinate_peer"
LEFT = "SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE status IN ('todo', 'doing')) AS answer"
DONE = "SELECT count(*) AS answer FROM procrastinate_jobs WHERE status = 'succeeded'"

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=stopwatch.ADDRESS))


@app.task(name="plain")
def plain() -> None:
    """Nothing but a note."""
    stopwatch.executed()


@app.task(name="coroutine")
async def coroutine() -> None:
    """Nothing but a note."""
    stopwatch.executed()


async def answer(query: str) -> int:
    """What the database says."""
    return (await app.connector.execute_query_one_async(query))["answer"]


async def enqueue(task: procrastinate.tasks.Task) -> None:
    """All runs at once, into tables that are made for them."""
    await app.schema_manager.apply_schema_async()
    await task.batch_defer_async(*[{} for _ in range(stopwatch.RUNS)])
    await app.connector.execute_query_async("ANALYZE")


async def settled() -> bool:
    """Whether no run is left."""
    return not await answer(LEFT)


async def by_command_line() -> float:
    """Burn as in the quickstart; the moment of the last acknowledgement."""
    await enqueue(plain)
    with stopwatch.worker("procrastinate", f"--app={MODULE}.app", "worker"):
        until = await stopwatch.wait_until_async(settled, noted=False)
    stopwatch.gather()
    return until


async def in_process() -> float:
    """Burn tuned; the same."""
    await enqueue(coroutine)
    worker = asyncio.create_task(app.run_worker_async(install_signal_handlers=False, **stopwatch.SETTINGS))
    until = await stopwatch.wait_until_async(settled)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    return until


async def main() -> None:
    """Enqueue, burn, report."""
    async with app.open_async():
        until = await (in_process() if stopwatch.SETTINGS else by_command_line())
        done = await answer(DONE)
    stopwatch.report(stopwatch.SETTINGS | {"processes": 1}, done, until)


if __name__ == "__main__":
    asyncio.run(main())
else:  # the worker's process
    atexit.register(stopwatch.keep)
