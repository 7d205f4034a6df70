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
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.reading import readable
from etlplus.jobs.ticks import Tick
from etlplus.store.contract import Hint
from etlplus.store.kept import Entry, entry
from etlplus.store.postgres import definitions
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.cancelling import cancel_scheduled
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.enqueueing import open_lane, put_runs
from etlplus.store.postgres.ledger import put_ticks, put_ticks_and_move_on
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import kept, many_jobs, one_job
from etlplus.store.postgres.sql import claims, schedules
from etlplus.store.postgres.sql import definitions as jobs_sql
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.postgres.turns import take_turns
from etlplus.store.scheduling import (
    UNFINISHED_MAX,
    Around,
    Planned,
    concerns_schedule,
    planned,
    present_time,
    saved_over,
)


async def tick(
    db: Db, known: Definitions, ids: Ids, now: datetime, limit: int, shard: int
) -> tuple[list[Run], list[str]]:
    """The runs that were made or changed, and the jobs whose schedules were decided."""
    jobs = await _due(db, now, limit)
    there = await db.fetchrow(schedules.AROUND_TICK, now)
    given_up = await _impatient(db, now, limit - len(jobs)) if there["impatient"] else []
    moved = await record(db, given_up, shard, now) + await take_turns(db, known, given_up, shard, now)
    if jobs and any(concerns_schedule(each) for each in given_up):
        jobs = await many_jobs(db, schedules.STILL_DUE, [job.id for job in jobs], now)
    if jobs:
        unfinished = await _unfinished(db, jobs)
        around = [Around(unfinished.get(job.id, 0), job.queue in there["draining"]) for job in jobs]
        plans = [planned(job, each, lambda: ids.new(now), now) for job, each in zip(jobs, around, strict=True)]
        moved += await _cancelled(db, plans, shard, now)
        new = await put_ticks_and_move_on(db, _ticks(plans), [plan.job for plan in plans])
        moved += await _made(db, plans, new, now)
    if there["due"]:
        moved += await _come_due(db, now, max(limit - len(jobs) - len(given_up), 0), shard)
    return moved, [job.id for job in jobs]


async def _due(db: Db, now: datetime, limit: int) -> list[Job]:
    """The jobs whose schedules are to be decided; one that cannot be read is set aside, so that it holds up no other."""
    jobs, faults = readable((row["id"], row["doc"]) for row in await db.fetch(schedules.JOBS_DUE, now, limit))
    if faults:
        await db.execute(schedules.SET_ASIDE, list(faults), list(faults.values()))
    return jobs


async def save_job(
    db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None, shard: int
) -> tuple[Job, list[Run]]:
    """Store a version of a job, and first decide what nothing has ticked for: the job, and the runs that this made."""
    present = await one_job(db, jobs_sql.JOB_FOR_CHANGE, job_id) if job_id is not None else None
    if present is not None:
        now = present_time(now, present, await db.fetchval(schedules.DECIDED_AT, present.id))
    saved = await definitions.save_job(db, ids, draft, now, job_id, expected)
    await open_lane(db, saved, now)
    if present is None:
        return saved, []
    draining = (await modes(db, [saved.queue]))[saved.queue] is QueueMode.DRAINING
    around = Around((await _unfinished(db, [present])).get(present.id, 0), draining)
    plans = [saved_over(present, saved, around, lambda: ids.new(now), now)]
    cancelled = await _cancelled(db, plans, shard, now)
    return saved, cancelled + await _made(db, plans, await put_ticks(db, _ticks(plans)), now)


async def _cancelled(db: Db, plans: Sequence[Planned], shard: int, now: datetime) -> list[Run]:
    """Cancel what schedules want cancelled; before anything else is locked."""
    job_ids = [plan.job.id for plan in plans if plan.cancels]
    return await cancel_scheduled(db, job_ids, now, shard) if job_ids else []


async def _made(db: Db, plans: Sequence[Planned], new: set[str], now: datetime) -> list[Run]:
    """Make the runs whose lines in the ledger are new."""
    runs = [run for plan in plans for run in plan.made(new, now)]
    await put_runs(db, runs, now)
    return runs


def _ticks(plans: Sequence[Planned]) -> list[Tick]:
    return [each for plan in plans for each in plan.ticks]


async def _impatient(db: Db, now: datetime, limit: int) -> list[Entry]:
    locked = [row["id"] for row in await db.fetch(schedules.LOCK_JOBS_OF_IMPATIENT, now, limit)]
    lines = [kept(row) for row in await db.fetch(sql.RUNS_IMPATIENT, now, limit, locked)]
    return [entry(line, transitions.time_out(line.present, now)) for line in lines]


async def _come_due(db: Db, now: datetime, limit: int, shard: int) -> list[Run]:
    lines = [kept(row) for row in await db.fetch(sql.RUNS_DUE, now, limit)]
    changes = [entry(line, transitions.come_due(line.present, now)) for line in lines]
    return await record(db, changes, shard, now)


async def _unfinished(db: Db, jobs: Sequence[Job]) -> dict[str, int]:
    """How many scheduled runs of each job are unfinished, for those that want to know; their rows are locked."""
    asking = [job.id for job in jobs if job.schedule is not None and job.schedule.overlap != "allow"]
    rows = await db.fetch(schedules.UNFINISHED, asking, UNFINISHED_MAX) if asking else []
    return {row["job_id"]: row["amount"] for row in rows}


async def queued_hint(db: Db) -> Hint:
    row = await db.fetchrow(claims.HINT)
    return Hint(queued=row["queued"], due_at=row["due_at"])
