"""
What a claim costs when five million runs are finished, beside ten thousand.
"""

from __future__ import annotations

import sqlite3
import time
from random import Random

import trio

from bench.fresh import execute, fresh_store
from bench.store import BATCH, LATER, acknowledged, prepared
from etlplus.jobs.model import NewRun
from etlplus.store.contract import Store
from etlplus.store.opening import open_store

FEW, MANY = 10_000, 5_000_000
CLAIMS = 40

# Older than whatever is claimed, of a hundred jobs; most of what is finished has succeeded.
_FINISHED = """
    INSERT INTO run (id, job_id, state, queue, doc)
    SELECT
        '01900000-0000-7000-8000-' || {number}, 'job' || n % 100,
        CASE n % 50 WHEN 0 THEN 'failed' ELSE 'succeeded' END, 'default', '"a finished run"'
    FROM {numbers}
"""
_POSTGRES = _FINISHED.format(number="lpad(n::text, 12, '0')", numbers="generate_series(1, {amount}) AS n")
_SQLITE = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {amount})" + _FINISHED.format(
    number="printf('%012d', n)", numbers="s"
)


def claim_growth(server: str) -> tuple[list[float], list[float]]:
    """Seconds of claims of a whole batch, in turn with many finished runs and with few: a pair of lists."""

    async def main(few: str, many: str) -> tuple[list[float], list[float]]:
        times: tuple[list[float], list[float]] = ([], [])
        async with open_store(few, rng=Random(1)) as small, open_store(many, rng=Random(1)) as large:
            for store, url, amount in ((small, few, FEW), (large, many, MANY)):
                await prepared(store)
                await trio.to_thread.run_sync(_finish, url, amount)
            for _ in range(CLAIMS):
                times[0].append(await _claim_s(large))
                times[1].append(await _claim_s(small))
        return times

    with fresh_store(server) as few, fresh_store(server) as many:
        return trio.run(main, few, many)


def _finish(url: str, amount: int) -> None:
    if url.startswith("sqlite:"):
        db = sqlite3.connect(url.partition(":")[2], isolation_level=None)
        db.execute(_SQLITE.format(amount=amount))
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
    else:
        execute(url, _POSTGRES.format(amount=amount), "VACUUM ANALYZE run", "CHECKPOINT")


async def _claim_s(store: Store) -> float:
    job = await prepared(store)
    await store.enqueue([NewRun(job_id=job.id)] * BATCH, now=LATER)
    began = time.perf_counter()
    claimed = await store.claim("w", limit=BATCH, now=LATER)
    seconds = time.perf_counter() - began
    await acknowledged(store, claimed)
    return seconds
