"""
What a claim costs on SQLite when five million runs are finished, beside ten thousand.
"""

from __future__ import annotations

import sqlite3
import time
from random import Random

import trio

from bench.fresh import fresh_store
from bench.store import BATCH, LATER, acknowledged, prepared
from etlplus.jobs.model import NewRun
from etlplus.store.contract import Store
from etlplus.store.opening import open_store

FEW, MANY = 10_000, 5_000_000
CLAIMS = 40

# Older than whatever is claimed, of a hundred jobs; most of what is finished has succeeded.
_FINISHED = """
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
    INSERT INTO run (id, job_id, state, queue, doc)
    SELECT
        '01900000-0000-7000-8000-' || printf('%012d', n), 'job' || n % 100, iif(n % 50, 'succeeded', 'failed'), 'default',
        '{"note": "a finished run"}'
    FROM numbers
"""


def claim_growth() -> tuple[list[float], list[float]]:
    """Seconds of claims of a whole batch, in turn with many finished runs and with few: a pair of lists."""

    async def main(few: str, many: str) -> tuple[list[float], list[float]]:
        times: tuple[list[float], list[float]] = ([], [])
        async with open_store(few, rng=Random(1)) as small, open_store(many, rng=Random(1)) as large:
            for store, url, amount in ((small, few, FEW), (large, many, MANY)):
                await prepared(store)
                await trio.to_thread.run_sync(_finish, url.partition(":")[2], amount)
            for _ in range(CLAIMS):
                times[0].append(await _claim_s(large))
                times[1].append(await _claim_s(small))
        return times

    with fresh_store("") as few, fresh_store("") as many:
        return trio.run(main, few, many)


def _finish(path: str, amount: int) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(_FINISHED, (amount,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def _claim_s(store: Store) -> float:
    job = await prepared(store)
    await store.enqueue([NewRun(job_id=job.id)] * BATCH, now=LATER)
    began = time.perf_counter()
    claimed = (await store.claim("w", limit=BATCH, now=LATER)).claimed
    seconds = time.perf_counter() - began
    await acknowledged(store, claimed)
    return seconds
