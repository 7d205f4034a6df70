"""
Short ways to say what an exam of a store says again and again: a job, a worker, a claim, an outcome.

Time stands still at ``NOW`` unless a test moves it: a store owns no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from etlplus.jobs.model import Job, JobDraft, NewRun, Run, Worker
from etlplus.jobs.outcome import Failed, Figures, Result, RunError, Succeeded
from etlplus.store.contract import Claimed, Outcome, Settled, Store

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
DONE = Succeeded(Figures(rows_read=3, rows_loaded=3))
BROKEN = Failed(RunError("data_error", "bad", retryable=True))


def at(seconds: float) -> datetime:
    """So many seconds after ``NOW``."""
    return NOW + timedelta(seconds=seconds)


async def a_job(store: Store, **options: Any) -> Job:
    """A stored job; ``options`` are fields of its draft."""
    fields: dict[str, Any] = {"name": "job", "pipeline": {"a": 1}} | options
    return await store.save_job(JobDraft(**fields), now=NOW)


async def some_runs(store: Store, job: Job, amount: int = 1, *, seconds: float = 0, **options: Any) -> list[Run]:
    """Runs of a job, made so many seconds after ``NOW``; ``options`` are fields of each wish."""
    return await store.enqueue([NewRun(job_id=job.id, **options)] * amount, now=at(seconds))


async def a_worker(store: Store, name: str = "w", expires_s: float = 20, labels: Sequence[str] = ()) -> None:
    """A worker that has joined, with a lease of so many seconds from ``NOW``."""
    worker = Worker(
        id=name,
        node="n",
        pid=1,
        boot_id="b",
        started_at=NOW,
        beat_at=NOW,
        expires_at=at(expires_s),
        slots=2,
        labels=tuple(labels),
    )
    await store.join(worker, now=NOW)


async def a_claim(store: Store, *, worker: str = "w", limit: int = 1, seconds: float = 0) -> list[Claimed]:
    """What a worker gets."""
    return (await store.claim(worker, limit=limit, now=at(seconds))).claimed


async def told(store: Store, claimed: Claimed, result: Result, *, worker: str = "w", seconds: float = 1) -> Settled:
    """One outcome, told by the worker."""
    outcome = Outcome(run_id=claimed.run.id, attempt=claimed.run.attempt, worker_id=worker, result=result)
    (settled,) = await store.acknowledge([outcome], now=at(seconds))
    return settled


async def all_told(store: Store, claimed: Sequence[Claimed], result: Result = DONE, *, seconds: float = 1) -> None:
    """The same outcome of several attempts, told in one call; each must count."""
    outcomes = [
        Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id=each.run.worker_id or "", result=result)
        for each in claimed
    ]
    assert all(each.applied for each in await store.acknowledge(outcomes, now=at(seconds)))
