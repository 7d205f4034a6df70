"""
What the past costs a claim on PostgreSQL: five million finished runs, and somebody who holds on to an old snapshot.

Both are measured on two databases of one server, in turn and in short slices: what the machine does to one, it does to the other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import trio

from bench.measure import Figures
from bench.store import BATCH, LATER, NOW, RUNS, acknowledged, prepared
from etlplus.jobs.ids import first_id
from etlplus.jobs.model import Job, NewRun
from etlplus.jobs.retention import week_of
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.sql.tidying import HISTORY, make_week
from etlplus.testing.servers import private_postgres

_asyncpg: Any = asyncpg

MANY = 5_000_000
FEW = 10_000
WEEKS = 12
WEEK = timedelta(weeks=1)
WRITERS = 2
CLAIMS = 200
PINNED_FOR_S = 20.0

_PUT_RUNS = """
    INSERT INTO run_{week}
    SELECT made.id, job_id, state, queue, replace(doc::text, run.id, made.id)::json
    FROM run, ({ids}) AS made WHERE run.id = $1
"""
_PUT_EVENTS = """
    INSERT INTO run_event_{week}
    SELECT made.id, version, run_event.doc, replace(attempt::text, run_id, made.id)::json
    FROM run_event, ({ids}) AS made WHERE run_id = $1
"""
_IDS = """
    SELECT
        substr(ms, 1, 8) || '-' || substr(ms, 9) || '-7' || substr(noise, 1, 3) || '-8' || substr(noise, 4, 3) || '-'
            || substr(noise, 7, 12) AS id
    FROM generate_series(0, $2::int - 1) AS n,
        LATERAL (SELECT
            lpad(to_hex((extract(epoch FROM $3::timestamptz + n * $4::interval) * 1000)::int8), 12, '0') AS ms,
            md5(n::text) AS noise
        ) AS parts
"""


def measure(figures: Figures) -> None:
    """All figures of the past."""
    with private_postgres(wal_init_zero="off", wal_level="minimal", max_wal_senders="0", max_wal_size="8GB") as url:
        trio.run(_growth, figures, url)
        trio.run(_pinned, figures, url)


async def _growth(figures: Figures, url: str) -> None:
    """The cost of a claim and of an acknowledgement of a whole batch, beside many finished runs over few."""
    few, many = [await _database(url, name) for name in ("few", "many")]
    async with open_store(few) as small, open_store(many) as large:
        jobs = [await prepared(store) for store in (small, large)]
        for address, store, job, amount in ((few, small, jobs[0], FEW), (many, large, jobs[1], MANY)):
            began = time.perf_counter()
            await _seed(address, await _finished(store, job), amount)
            figures.note(f"seeding_{amount}_s", time.perf_counter() - began)
        claims: list[list[float]] = [[], []]
        settlements: list[list[float]] = [[], []]
        for _ in range(CLAIMS):
            for at, store in enumerate((small, large)):
                claim_s, settle_s = await _batch_s(store, jobs[at])
                claims[at].append(claim_s)
                settlements[at].append(settle_s)
        figures.ratio("claim_growth", claims[1], claims[0])
        figures.ratio("acknowledge_growth", settlements[1], settlements[0])


async def _batch_s(store: Store, job: Job) -> tuple[float, float]:
    """Seconds to claim a batch, and to acknowledge it."""
    await store.enqueue([NewRun(job_id=job.id, run_at=NOW)] * BATCH, now=LATER)
    began = time.perf_counter()
    claimed = (await store.claim("w", limit=BATCH, now=LATER)).claimed
    taken = time.perf_counter()
    await acknowledged(store, claimed)
    return taken - began, time.perf_counter() - taken


async def _finished(store: Store, job: Job) -> str:
    """A run that the engine itself has carried to its end: what the history is copied from."""
    (run,) = await store.enqueue([NewRun(job_id=job.id)], now=NOW)
    await acknowledged(store, (await store.claim("w", limit=1, now=NOW)).claimed)
    return run.id


async def _seed(address: str, pattern: str, amount: int) -> None:
    """So many finished runs with their events, evenly over the weeks before the present one."""
    weeks = [week_of(NOW) - WEEK * (number + 1) for number in range(WEEKS)]
    await trio.to_thread.run_sync(lambda: asyncio.run(_write(address, pattern, amount // WEEKS, weeks)))


async def _write(address: str, pattern: str, each: int, weeks: list[datetime]) -> None:
    settings = {"search_path": "etlplus", "synchronous_commit": "off"}

    async def writer(own: list[datetime]) -> None:
        db = await _asyncpg.connect(address, server_settings=settings, command_timeout=600)
        for week in own:
            async with db.transaction():  # tables that are made and filled in one transaction are not logged
                await _write_week(db, pattern, each, week)
        await db.close()

    await asyncio.gather(*(writer(weeks[number::WRITERS]) for number in range(WRITERS)))
    db = await _asyncpg.connect(address, server_settings=settings, command_timeout=600)
    await db.execute("INSERT INTO tally VALUES ('succeeded', 99, $1)", each * len(weeks))
    for prepare in ("ANALYZE", "CHECKPOINT"):
        await db.execute(prepare)
    await db.close()


async def _write_week(db: Any, pattern: str, each: int, week: datetime) -> None:
    name = f"w{week:%Y%m%d}"
    await db.execute("LOCK TABLE run, run_event, attempt_log IN SHARE UPDATE EXCLUSIVE MODE")
    for table in HISTORY:
        for statement in make_week(table, name, first_id(week), first_id(week + WEEK)):
            await db.execute(statement)
    for statement in (_PUT_RUNS, _PUT_EVENTS):
        await db.execute(statement.format(week=name, ids=_IDS), pattern, each, week, WEEK / (each + 1))


async def _pinned(figures: Figures, url: str) -> None:
    """The share of the burn that is lost while somebody holds an old snapshot in the same database."""
    async with open_store(await _database(url, "free")) as one, open_store(await _database(url, "held")) as other:
        began = time.perf_counter()
        jobs = [await prepared(store) for store in (one, other)]
        seconds: list[list[float]] = [[], []]
        async with _old_snapshot(url.replace("/postgres?", "/held?")):
            while sum(seconds[1]) < PINNED_FOR_S:
                for at, store in enumerate((one, other)):
                    seconds[at].append(await _slice_s(store, jobs[at], began))
        pairs = [1 - free / held for free, held in zip(*seconds, strict=True)]
        figures.note("pinned_snapshot_loss", 1 - sum(seconds[0]) / sum(seconds[1]), [min(pairs), max(pairs)])
        third = len(pairs) // 3
        late = sum(seconds[0][-third:]) / sum(seconds[1][-third:])
        figures.note("pinned_snapshot_loss_at_the_end", 1 - late)


async def _slice_s(store: Store, job: Job, began: float) -> float:
    """Seconds to burn a slice of runs, made at the present moment of a clock that began at ``NOW``."""

    def now() -> datetime:
        return NOW + timedelta(seconds=time.perf_counter() - began)

    await store.enqueue([NewRun(job_id=job.id)] * RUNS, now=now())
    start, left = time.perf_counter(), RUNS
    while left:
        claimed = (await store.claim("w", limit=BATCH, now=now())).claimed
        await acknowledged(store, claimed, now())
        left -= len(claimed)
    return time.perf_counter() - start


@asynccontextmanager
async def _old_snapshot(address: str) -> AsyncGenerator[None]:
    """Somebody who looked once and never ended his transaction."""
    held, end, token = trio.Event(), threading.Event(), trio.lowlevel.current_trio_token()

    async def hold() -> None:
        db = await _asyncpg.connect(address)
        await db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        await db.fetchval("SELECT count(*) FROM etlplus.lane")
        await asyncio.to_thread(trio.from_thread.run_sync, held.set, trio_token=token)
        await asyncio.to_thread(end.wait)
        await db.close()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, lambda: asyncio.run(hold()))
        await held.wait()
        try:
            yield
        finally:
            end.set()


async def _database(url: str, name: str) -> str:
    """The address of a new database on a server."""

    async def make() -> None:
        db = await _asyncpg.connect(url)
        await db.execute(f"CREATE DATABASE {name}")
        await db.close()

    await trio.to_thread.run_sync(lambda: asyncio.run(make()))
    return url.replace("/postgres?", f"/{name}?")
