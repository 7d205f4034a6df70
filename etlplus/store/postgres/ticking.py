"""
What is due on PostgreSQL: runs that have waited too long fail, schedules are decided, delayed runs become queued.

Rows that others have locked are left to them, or to the next tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.store.contract import Hint
from etlplus.store.kept import Entry, entry
from etlplus.store.postgres import definitions
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.cancelling import cancel_scheduled
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.enqueueing import put_runs
from etlplus.store.postgres.ledger import put_ticks
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import columns, encode, kept, many, one
from etlplus.store.postgres.sql import claims, schedules
from etlplus.store.postgres.sql import definitions as jobs_sql
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.postgres.turns import take_turns
from etlplus.store.scheduling import UNFINISHED_MAX, Around, Planned, planned, saved_over


async def tick(db: Db, known: Definitions, ids: Ids, now: datetime, limit: int, shard: int) -> list[Run]:
    jobs = await many(db, Job, schedules.JOBS_DUE, now, limit)
    given_up = await _impatient(db, now, limit - len(jobs))
    moved = await record(db, given_up, shard, now) + await take_turns(db, known, given_up, shard, now)
    if jobs:
        around = await _around(db, jobs, jobs)
        plans = [planned(job, each, lambda: ids.new(now), now) for job, each in zip(jobs, around, strict=True)]
        moved += await write(db, plans, shard, now)
        rows = [(plan.job.id, plan.job.next_at, encode(plan.job)) for plan in plans]
        await db.execute(schedules.MOVE_JOBS_ON, *columns(rows))
    left = max(limit - len(jobs) - len(given_up), 0)
    lines = [kept(row) for row in await db.fetch(sql.RUNS_DUE, now, left)]
    changes = [entry(line, transitions.come_due(line.present, now)) for line in lines]
    return moved + await record(db, changes, shard, now)


async def save_job(
    db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None, shard: int
) -> tuple[Job, list[Run]]:
    """Store a version of a job, and first decide what nothing has ticked for: the job, and the runs that this made."""
    present = await one(db, Job, jobs_sql.JOB_FOR_CHANGE, job_id) if job_id is not None else None
    saved = await definitions.save_job(db, ids, draft, now, job_id, expected)
    if present is None:
        return saved, []
    (around,) = await _around(db, [present], [saved])
    return saved, await write(db, [saved_over(present, saved, around, lambda: ids.new(now), now)], shard, now)


async def write(db: Db, plans: Sequence[Planned], shard: int, now: datetime) -> list[Run]:
    """Write what schedules do, but for the jobs themselves; all runs that were made or changed."""
    cancelling = [plan.job.id for plan in plans if plan.cancels]
    cancelled = await cancel_scheduled(db, cancelling, now, shard) if cancelling else []
    new = await put_ticks(db, [each for plan in plans for each in plan.ticks])
    runs = [run for plan in plans for run in plan.made(new, now)]
    await put_runs(db, runs, now)
    return cancelled + runs


async def _impatient(db: Db, now: datetime, limit: int) -> list[Entry]:
    locked = [row["id"] for row in await db.fetch(schedules.LOCK_JOBS_OF_IMPATIENT, now, limit)]
    lines = [kept(row) for row in await db.fetch(sql.RUNS_IMPATIENT, now, limit, locked)]
    return [entry(line, transitions.time_out(line.present, now)) for line in lines]


async def _around(db: Db, decided: Sequence[Job], made_of: Sequence[Job]) -> list[Around]:
    """What stands around jobs whose rows are locked, in order."""
    asking = [job.id for job in decided if job.schedule is not None and job.schedule.overlap != "allow"]
    rows = await db.fetch(schedules.UNFINISHED, asking, UNFINISHED_MAX) if asking else []
    unfinished = {row["job_id"]: row["amount"] for row in rows}
    taking = await modes(db, sorted({job.queue for job in made_of}))
    return [Around(unfinished.get(each.id, 0), taking.get(of.queue)) for each, of in zip(decided, made_of, strict=True)]


async def queued_hint(db: Db) -> Hint:
    row = await db.fetchrow(claims.HINT)
    return Hint(queued=row["queued"], due_at=row["due_at"])
