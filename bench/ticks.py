"""
How late schedules start when there are 100,000 of them, and what a tick costs beside a store that holds a hundredth of that.

Half are intervals and half are crons, each due once an hour, spread evenly over it. Lateness is measured with the whole staff
at work: from the nominal time to when the run is stored, so that a crash would not lose it any more.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import msgspec
import trio

from bench.measure import Figures
from etlplus.actors.newsroom import Newsroom
from etlplus.app.staff import new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, Run
from etlplus.jobs.outcome import Figures as Balance
from etlplus.jobs.outcome import Result, Succeeded
from etlplus.jobs.schedules import CronSchedule, IntervalSchedule, Schedule
from etlplus.runtime import open_system
from etlplus.settings import Settings
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.testing.servers import private_postgres

SCHEDULES = 100_000
FEW = SCHEDULES // 100
WINDOW_S = 60.0
HOUR_S = 3600
TICKS = 300
SLOTS = 4
PIPELINE = {"note": "x" * 1000}
"""About as large as a plan is."""


def measure(figures: Figures) -> None:
    """All figures of ticks."""
    with private_postgres(wal_init_zero="off") as postgres, tempfile.TemporaryDirectory() as folder:
        for name, url in (("postgres", postgres), ("sqlite", f"sqlite:{Path(folder) / 'store'}")):
            costs = [trio.run(_tick_s, url, amount) for amount in (FEW, SCHEDULES)]
            figures.note(f"tick_ms_{name}", 1000 * costs[1])
            figures.note(f"tick_cost_of_100_times_as_many_{name}", costs[1] / costs[0])
            late_ms, loop_ms = trio.run(lateness_ms, url)
            figures.note(f"schedules_100k_tick_ms_{name}", p99(late_ms), [statistics.median(late_ms), max(late_ms)])
            figures.note(f"loop_late_ms_{name}", p99(loop_ms), [statistics.median(loop_ms), max(loop_ms)])


def p99(values: list[float]) -> float:
    """What all but one in a hundred stay below."""
    return sorted(values)[len(values) * 99 // 100]


async def _tick_s(url: str, amount: int) -> float:
    """Seconds of the usual tick and the look ahead after it, each for what is due next."""
    async with open_store(url, rng=Random(1)) as store:
        await _fill(url, amount, datetime.now(UTC))
        times: list[float] = []
        for _ in range(TICKS):
            due_at = (await store.queued_hint()).due_at
            assert due_at is not None
            began = time.perf_counter()
            assert await store.tick(now=due_at)
            await store.queued_hint()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


async def lateness_ms(url: str) -> tuple[list[float], list[float]]:
    """How late each run of a window was stored, while the staff also carries the runs; and how late the loop itself was, which
    is what the machine and the staff's other work add to everything.
    """
    loop_ms: list[float] = []

    async def watch_loop() -> None:
        while True:
            due_at = trio.current_time() + HOUR_S / SCHEDULES
            await trio.sleep_until(due_at)
            loop_ms.append(1000 * (trio.current_time() - due_at))

    settings, standing = Settings(), new_standing(SLOTS)
    async with open_store(url, rng=Random(1)) as store:
        await _fill(url, SCHEDULES, datetime.now(UTC) + timedelta(seconds=45))
        watched: Any = _Watched(store)
        tree = staff(watched, Inline(_at_once), standing, Newsroom(standing.now), settings)
        async with open_system(tree), trio.open_nursery() as nursery:
            nursery.start_soon(watch_loop)
            while len(watched.late_s) < WINDOW_S * SCHEDULES / HOUR_S:  # noqa: ASYNC110 - a list tells nobody
                await trio.sleep(0.5)
            nursery.cancel_scope.cancel()
        return [1000 * each for each in watched.late_s], loop_ms


class _Watched:
    """A store whose ticks are timed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.late_s: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def tick(self, *, now: datetime, tell: Callable[[Sequence[str]], None]) -> Sequence[Run]:
        runs = await self._store.tick(now=now, tell=tell)
        stored_at = datetime.now(UTC)
        self.late_s += [(stored_at - run.interval[1]).total_seconds() for run in runs if run.interval]
        return runs


async def _at_once(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Balance())


async def _fill(url: str, amount: int, first_at: datetime) -> None:
    """Put so many jobs into the store in place of all others, in bulk: saving them one by one is not what is measured."""
    ids = Ids(Random(2))
    jobs = [_job(ids, number, amount, first_at.replace(microsecond=0)) for number in range(amount)]
    rows = [(job.id, job.name, job.next_at, msgspec.json.encode(job)) for job in jobs]
    if url.startswith("sqlite"):
        await trio.to_thread.run_sync(_fill_sqlite, url.partition(":")[2], rows)
    else:
        await trio.to_thread.run_sync(lambda: asyncio.run(_fill_postgres(url, rows)))


def _job(ids: Ids, number: int, amount: int, first_at: datetime) -> Job:
    due_at = first_at + timedelta(seconds=HOUR_S * number / amount)
    schedule: Schedule = IntervalSchedule(every_s=HOUR_S, start_at=due_at)
    if number % 2:
        due_at = due_at.replace(microsecond=0) + timedelta(seconds=1)
        schedule = CronSchedule(cron=f"{due_at.second} {due_at.minute} * * * *")
    return Job(
        id=ids.new(first_at),
        name=f"job{number}",
        version=1,
        pipeline=PIPELINE,
        schedule=schedule,
        created_at=first_at,
        updated_at=first_at,
        next_at=due_at,
    )


def _fill_sqlite(path: str, rows: list[tuple[Any, ...]]) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    for table in ("job", "job_version", "run_live", "tick"):
        db.execute(f"DELETE FROM {table}")
    jobs = [(job_id, name, next_at.timestamp(), doc) for job_id, name, next_at, doc in rows]
    db.executemany("INSERT INTO job (id, name, next_at, doc) VALUES (?, ?, ?, ?)", jobs)
    db.executemany("INSERT INTO job_version VALUES (?, 1, ?)", [(row[0], row[3]) for row in rows])
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def _fill_postgres(url: str, rows: list[tuple[Any, ...]]) -> None:
    asyncpg_: Any = asyncpg
    db = await asyncpg_.connect(url, server_settings={"search_path": "etlplus"})
    await db.execute("TRUNCATE job, job_version, run_live, tick")
    jobs = [(job_id, name, next_at, doc.decode()) for job_id, name, next_at, doc in rows]
    versions = [(row[0], 1, row[3]) for row in jobs]
    await db.copy_records_to_table("job", records=jobs, columns=["id", "name", "next_at", "doc"], schema_name="etlplus")
    await db.copy_records_to_table(
        "job_version", records=versions, columns=["job_id", "version", "doc"], schema_name="etlplus"
    )
    for prepare in ("VACUUM ANALYZE job", "VACUUM ANALYZE job_version", "CHECKPOINT"):
        await db.execute(prepare)
    await db.close()
