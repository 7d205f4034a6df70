"""
What the end of a schedule's run means for its job on PostgreSQL: the run that waits its turn goes on, and a job whose runs fail
one after the other is paused. All of it in the unit that ends the run, which has locked the job's row before the run's line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.reading import read_job
from etlplus.store.kept import Entry, entry
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.definitions import Definitions, put_version
from etlplus.store.postgres.ledger import put_ticks
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import kept
from etlplus.store.postgres.sql import schedules as sql
from etlplus.store.scheduling import after_failure, concerns_schedule, counts_failures, present_time


async def take_turns(
    db: Db, definitions: Definitions, entries: Iterable[Entry], shard: int, now: datetime
) -> list[Run]:
    """After transitions were written: count failures, and let go on what waited; the runs that do."""
    ended = [each for each in entries if concerns_schedule(each)]
    if not ended:
        return []
    runs = [each.run for each in ended]
    for run, job in zip(runs, await definitions.of(db, runs), strict=True):
        if counts_failures(run, job):
            await _count(db, run, now)
    return await release(db, ended, shard, now)


async def release(db: Db, entries: Sequence[Entry], shard: int, now: datetime) -> list[Run]:
    """Of each schedule that had a run end and has none in hand or in a queue, the first that waits its turn goes on."""
    jobs = sorted({each.run.job_id for each in entries if concerns_schedule(each)})
    if not jobs:
        return []
    lines = [kept(row) for row in await db.fetch(sql.NEXT_IN_TURN, jobs)]
    return await record(db, [entry(line, transitions.release(line.present, now)) for line in lines], shard, now)


async def _count(db: Db, run: Run, now: datetime) -> None:
    """Runs of an earlier version tell nothing of the present one, which somebody may have saved because they failed."""
    failed = run.state is RunState.FAILED
    row = await db.fetchrow(sql.JOB_THAT_COUNTS, run.job_id, failed)
    if row is None or (job := read_job(row["doc"])).version != run.job_version:
        return
    failures = row["failures"] + 1 if failed else 0
    if pause := after_failure(job, failures, run, present_time(now, job, row["decided_at"])):
        await put_version(db, pause.job)
        await put_ticks(db, pause.ticks)
    else:
        await db.execute(sql.COUNTED, run.job_id, failures)
