"""
The store's claim and acknowledgement against the same work in plain SQL, one connection, batches of 200.

The yardstick is as bare as it can be: one statement claims with SKIP LOCKED, one deletes from the queue and appends to the
finished; it keeps no history, checks no fence, knows no queue, limit or job. On SQLite it is one commit each, too.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import trio

from bench.measure import Figures, best_times
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, NewRun, Worker
from etlplus.jobs.outcome import Figures as Balance
from etlplus.jobs.outcome import Succeeded
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse
from etlplus.jobs.rates import Rate
from etlplus.store.contract import Claimed, Outcome, Store
from etlplus.store.opening import open_store
from etlplus.testing.servers import private_postgres

RUNS = 8_000
BATCH = 200
GENEROUS = Rate(count=1_000_000)
"""More than any machine asks for."""
DAILY = Rate(count=1, per_s=86_400)
BULK = 10_000
CLAIMS = 15
REPETITIONS = 5
NOW = datetime(2026, 5, 4, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)
DOC = '{"job_name": "yardstick", "params": {}, "note": "' + "x" * 300 + '"}'
DONE = Succeeded(Balance())


async def prepared(store: Store) -> Job:
    """A worker with a long lease, and a job."""
    worker = Worker(
        id="w",
        node="n",
        pid=1,
        boot_id="b",
        started_at=NOW,
        beat_at=NOW,
        expires_at=NOW + timedelta(days=1),
        slots=BATCH,
    )
    await store.join(worker, now=NOW)
    return await store.job_named("job") or await store.save_job(JobDraft(name="job", pipeline={}), now=NOW)


async def burn(store: Store, amount: int) -> float:
    """Seconds per run to claim and acknowledge so many, which must be there."""
    began = time.perf_counter()
    left = amount
    while left:
        now = NOW + timedelta(seconds=time.perf_counter() - began)  # the store has duties that fall due once a second
        claimed = (await store.claim("w", limit=BATCH, now=now)).claimed
        outcomes = [
            Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id="w", result=DONE) for each in claimed
        ]
        settled = await store.acknowledge(outcomes, now=now)
        assert all(each.applied for each in settled)
        left -= len(settled)
    return (time.perf_counter() - began) / amount


def store_s(url: str) -> float:
    """Seconds per run on one of our bodies."""

    async def main() -> float:
        async with open_store(url) as store:
            job = await prepared(store)
            await store.enqueue([NewRun(job_id=job.id)] * RUNS, now=NOW)
            return await burn(store, RUNS)

    return trio.run(main)


def bulk_s(url: str) -> float:
    """Seconds per run to enqueue 10,000 in one call."""

    async def main() -> float:
        async with open_store(url) as store:
            job = await prepared(store)
            began = time.perf_counter()
            made = await store.enqueue([NewRun(job_id=job.id)] * BULK, now=NOW)
            seconds = (time.perf_counter() - began) / BULK
            while claimed := (await store.claim("w", limit=1000, now=NOW)).claimed:
                await acknowledged(store, claimed)
            assert len(made) == BULK
            return seconds

    return trio.run(main)


PLAIN_TABLES = """
    DROP TABLE IF EXISTS waiting; DROP TABLE IF EXISTS done;
    CREATE TABLE waiting (id text PRIMARY KEY, state text NOT NULL, rank_at float NOT NULL, doc text NOT NULL);
    CREATE INDEX waiting_queued ON waiting (rank_at, id) WHERE state = 'queued';
    CREATE TABLE done (id text PRIMARY KEY, doc text NOT NULL);
"""
PLAIN_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM waiting WHERE state = 'queued' ORDER BY rank_at, id LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE waiting SET state = 'running' FROM picked WHERE waiting.id = picked.id RETURNING waiting.id, doc
"""
PLAIN_ACKNOWLEDGE = """
    WITH gone AS (DELETE FROM waiting WHERE id = ANY($1) RETURNING id, doc) INSERT INTO done SELECT id, doc FROM gone
"""


def plain_postgres_s(url: str) -> float:
    """Seconds per run of the yardstick on PostgreSQL."""
    asyncpg_: Any = asyncpg

    async def main() -> float:
        db = await asyncpg_.connect(url, server_settings={"jit": "off", "search_path": "public"})
        await db.execute(PLAIN_TABLES)
        ids = Ids(Random(1))
        rows = [(ids.new(NOW), "queued", 0.0, DOC) for _ in range(RUNS)]
        await db.executemany("INSERT INTO waiting VALUES ($1, $2, $3, $4)", rows)
        began = time.perf_counter()
        while claimed := await db.fetch(PLAIN_CLAIM, BATCH):
            await db.execute(PLAIN_ACKNOWLEDGE, [row["id"] for row in claimed])
        seconds = (time.perf_counter() - began) / RUNS
        await db.close()
        return seconds

    return asyncio.run(main())


def plain_sqlite_s(path: Path) -> float:
    """Seconds per run of the yardstick on SQLite."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.executescript(PLAIN_TABLES)
    ids = Ids(Random(1))
    db.execute("BEGIN")
    db.executemany("INSERT INTO waiting VALUES (?, 'queued', 0.0, ?)", [(ids.new(NOW), DOC) for _ in range(RUNS)])
    db.execute("COMMIT")
    began = time.perf_counter()
    head = "SELECT id, doc FROM waiting WHERE state = 'queued' ORDER BY rank_at, id LIMIT ?"
    while claimed := db.execute(head, (BATCH,)).fetchall():
        ids_claimed = [(row[0],) for row in claimed]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE waiting SET state = 'running' WHERE id = ?", ids_claimed)
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.executemany("DELETE FROM waiting WHERE id = ?", ids_claimed)
        db.executemany("INSERT INTO done VALUES (?, ?)", claimed)
        db.execute("COMMIT")
    seconds = (time.perf_counter() - began) / RUNS
    db.close()
    return seconds


def measure(figures: Figures) -> None:
    """All figures of the store."""
    # A server that has run for a while reuses its log files; filling new ones with zeros is not what we measure.
    with private_postgres(wal_init_zero="off") as postgres, tempfile.TemporaryDirectory() as folder:
        compare(figures, "postgres", lambda: store_s(postgres), lambda: plain_postgres_s(postgres))
        file = f"sqlite:{Path(folder) / 'store'}"
        compare(figures, "sqlite", lambda: store_s(file), lambda: plain_sqlite_s(Path(folder) / "plain"))
        for name, url in (("postgres", postgres), ("sqlite", file)):
            figures.note(f"bulk_enqueue_per_s_{name}", 1 / min(bulk_s(url) for _ in range(REPETITIONS)))
            free, limited, paced = best_times(
                lambda url=url: store_s(url),
                lambda url=url: limited_s(url, LimitDraft(name=HOUSE, slots=BATCH)),
                lambda url=url: limited_s(url, LimitDraft(name=HOUSE, rate=GENEROUS)),
                repetitions=REPETITIONS,
            )
            figures.ratio(f"limit_cost_{name}", free, limited)
            figures.ratio(f"rate_cost_{name}", free, paced)
            saturated(figures, f"saturated_{{}}_cost_{name}", url, LimitDraft(name="customer", slots=1))
            saturated(figures, f"paced_{{}}_cost_{name}", url, LimitDraft(name="paced", rate=DAILY))


async def _claims_s(store: Store, job: Job) -> float:
    """Seconds of the quickest of some claims of a whole batch."""
    times: list[float] = []
    for _ in range(CLAIMS):
        await store.enqueue([NewRun(job_id=job.id, run_at=NOW)] * BATCH, now=LATER)
        began = time.perf_counter()
        claimed = (await store.claim("w", limit=BATCH, now=LATER)).claimed
        times.append(time.perf_counter() - began)
        await acknowledged(store, claimed)
    return min(times)


async def acknowledged(store: Store, claimed: Sequence[Claimed], now: datetime = LATER) -> None:
    """Have the success of these attempts settled; each must count."""
    outcomes = [Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id="w", result=DONE) for each in claimed]
    assert all(each.applied for each in await store.acknowledge(outcomes, now=now))


def saturated(figures: Figures, name: str, url: str, limit: LimitDraft) -> None:
    """What a claim costs behind 200,000 runs of one key that has nothing left to give, and behind 2,000 such keys."""

    async def main() -> None:
        async with open_store(url) as store:
            job = await prepared(store)
            await store.save_limit(limit, now=NOW)
            draft = JobDraft(name=limit.name, pipeline={}, limit=LimitUse(limit.name, by="id"))
            limited = await store.save_job(draft, now=NOW)
            none = await _claims_s(store, job)
            for _ in range(20):
                await store.enqueue([NewRun(job_id=limited.id, params={"id": 0})] * BULK, now=NOW)
            await store.claim("w", limit=BATCH, now=LATER)
            figures.note(name.format("key"), await _claims_s(store, job) / none)
            wishes = [NewRun(job_id=limited.id, params={"id": key}) for key in range(2000) for _ in range(2)]
            await store.enqueue(wishes, now=NOW)
            while (await store.claim("w", limit=1000, now=LATER)).claimed:
                pass
            figures.note(name.format("keys_2000"), await _claims_s(store, job) / none)

    trio.run(main)


def limited_s(url: str, limit: LimitDraft) -> float:
    """Seconds per run under a limit that holds nothing up."""

    async def main() -> float:
        async with open_store(url) as store:
            job = await prepared(store)
            await store.save_limit(limit, now=NOW)
            await store.enqueue([NewRun(job_id=job.id)] * RUNS, now=NOW)
            seconds = await burn(store, RUNS)
            await store.delete_limit(limit.name, now=NOW)
            return seconds

    return trio.run(main)


def compare(figures: Figures, name: str, ours: Callable[[], float], plain: Callable[[], float]) -> None:
    """Claim and acknowledge on one body: runs per second, and the share of the yardstick's."""
    store, yardstick = best_times(ours, plain, repetitions=REPETITIONS)
    figures.note(f"claim_ack_per_s_{name}", 1 / min(store), [1 / max(store), 1 / min(store)])
    figures.note(f"plain_per_s_{name}", 1 / min(yardstick), [1 / max(yardstick), 1 / min(yardstick)])
    figures.ratio(f"claim_ack_vs_plain_{name}", yardstick, store)
