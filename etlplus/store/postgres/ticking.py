"""
What is due on PostgreSQL: delayed runs become queued, schedules make their runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.schedule import next_after
from etlplus.store.contract import Hint
from etlplus.store.kept import entry
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.enqueueing import put_runs
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import columns, encode, kept, many
from etlplus.store.postgres.sql import claims, definitions
from etlplus.store.postgres.sql import runs as sql

SCHEDULED = "schedule"


async def tick(db: Db, ids: Ids, now: datetime, limit: int, shard: int) -> list[Run]:
    jobs = await many(db, Job, definitions.JOBS_DUE, now, limit)
    fired = await _fire(db, ids, jobs, now)
    late = [kept(row) for row in await db.fetch(sql.RUNS_IMPATIENT, now, limit - len(jobs))]
    changes = [entry(line, transitions.time_out(line.present, now)) for line in late]
    given_up = await record(db, changes, shard, now)
    lines = [kept(row) for row in await db.fetch(sql.RUNS_DUE, now, limit - len(jobs) - len(late))]
    changes = [entry(line, transitions.come_due(line.present, now)) for line in lines]
    return fired + given_up + await record(db, changes, shard, now)


async def _fire(db: Db, ids: Ids, jobs: Sequence[Job], now: datetime) -> list[Run]:
    """The runs of due schedules: one for each nominal time ever, and one for all that an outage missed."""
    if not jobs:
        return []
    runs = {
        job.id: transitions.enqueue(NewRun(job_id=job.id, cause=SCHEDULED), job, ids.new(now), now)[0] for job in jobs
    }
    taking = await modes(db, sorted({job.queue for job in jobs}))
    ticks = [(job.id, job.next_at, runs[job.id].id) for job in jobs if taking.get(job.queue) is not QueueMode.DRAINING]
    new = await db.fetch(definitions.PUT_TICKS, *columns(ticks)) if ticks else []
    moved = [
        replace(job, next_at=next_after(job.schedule, job.updated_at, now)) for job in jobs if job.schedule is not None
    ]
    await db.execute(definitions.MOVE_JOBS_ON, *columns([(job.id, job.next_at, encode(job)) for job in moved]))
    fired = [runs[row["job_id"]] for row in new]
    await put_runs(db, fired, now)
    return fired


async def queued_hint(db: Db) -> Hint:
    row = await db.fetchrow(claims.HINT)
    return Hint(queued=row["queued"], due_at=row["due_at"])
