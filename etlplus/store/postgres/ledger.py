"""
The tick ledger on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.model import Job
from etlplus.jobs.retention import Keep, ledger_begin, lines_kept
from etlplus.jobs.ticks import LATELY, Tick
from etlplus.store.contract import Scheduled
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import columns, encode, many_jobs
from etlplus.store.postgres.sql import schedules as sql


async def put_ticks(db: Db, ticks: Sequence[Tick]) -> set[str]:
    """Write lines; the ids of the runs whose lines are new."""
    return _runs(await db.fetch(sql.PUT_TICKS, *_columns(ticks)))


async def put_ticks_and_move_on(db: Db, ticks: Sequence[Tick], jobs: Sequence[Job]) -> set[str]:
    """The same, and the next times of jobs."""
    moved = columns([(job.id, job.next_at, encode(job)) for job in jobs])
    return _runs(await db.fetch(sql.PUT_TICKS_AND_MOVE_ON, *_columns(ticks), *moved))


async def forget(db: Db, keep: Keep, now: datetime, limit: int) -> int:
    """Remove the oldest lines that are too old or too many; how many."""
    most = lines_kept(keep)
    surplus_at = await db.fetchval(sql.SURPLUS_AT, most) if most is not None else None
    before = ledger_begin(keep, now, surplus_at)
    return await db.fetchval(sql.FORGET_TICKS, before, limit) if before is not None else 0


def _runs(rows: Sequence[Any]) -> set[str]:
    return {row["run_id"] for row in rows if row["run_id"] is not None}


def _columns(ticks: Sequence[Tick]) -> list[list[Any]]:
    return columns([_row(each) for each in ticks]) if ticks else [[] for _ in Tick.__struct_fields__]


async def ticks(db: Db, job_id: str, limit: int, after: tuple[datetime, str] | None) -> list[Tick]:
    at, outcome = after or (None, None)
    return [msgspec.convert(dict(row), Tick) for row in await db.fetch(sql.TICKS, job_id, at, outcome, limit)]


async def scheduled(db: Db, job_ids: Sequence[str] | None, limit: int) -> list[Scheduled]:
    if job_ids is not None:
        jobs = await many_jobs(db, sql.SCHEDULED_JOBS, job_ids, limit)
    else:
        jobs = await many_jobs(db, sql.NEXT_DUE, limit)
        jobs += await many_jobs(db, sql.NOT_DUE, limit - len(jobs)) if len(jobs) < limit else []
    lately: dict[str, list[Tick]] = {job.id: [] for job in jobs}
    for row in await db.fetch(sql.LATELY, list(lately), LATELY):
        lately[row["job_id"]].append(msgspec.convert(dict(row), Tick))
    return [Scheduled(job, lately[job.id]) for job in jobs]


def _row(each: Tick) -> tuple[Any, ...]:
    return (
        each.job_id, each.nominal_at, each.outcome, each.last_at, each.count, each.reason, each.run_id, each.decided_at,
    )  # fmt: skip
