"""
What is due on SQLite: delayed runs become queued, schedules make their runs.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.schedule import next_after
from etlplus.store.contract import Hint
from etlplus.store.kept import entry
from etlplus.store.sqlite.definitions import put_job
from etlplus.store.sqlite.enqueueing import enqueue
from etlplus.store.sqlite.queues import modes
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, kept, many, moment

SCHEDULED = "schedule"
_DUE = f"SELECT {KEPT} FROM run_live WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at, id LIMIT ?"
_IMPATIENT = f"""
    SELECT {KEPT} FROM run_live WHERE waits_until <= ? AND waits_until IS NOT NULL AND state <> 'running'
    ORDER BY waits_until, id LIMIT ?
"""
_HINT = """
    SELECT
        (SELECT count(*) FROM (SELECT 1 FROM run_live WHERE state = 'queued' LIMIT 1000)),
        (SELECT min(at) FROM (
            SELECT min(run_at) AS at FROM run_live WHERE state = 'scheduled'
            UNION ALL SELECT min(waits_until) FROM run_live WHERE waits_until IS NOT NULL AND state <> 'running'
            UNION ALL SELECT min(next_at) FROM job
        ))
"""


def tick(db: Db, ids: Ids, now: datetime, limit: int) -> list[Run]:
    late = [kept(row) for row in db.execute(_IMPATIENT, (now.timestamp(), limit)).fetchall()]
    due = record(db, [entry(line, transitions.time_out(line.present, now)) for line in late], now)
    lines = [kept(row) for row in db.execute(_DUE, (now.timestamp(), limit - len(due))).fetchall()]
    due += record(db, [entry(line, transitions.come_due(line.present, now)) for line in lines], now)
    due_jobs = "SELECT doc FROM job WHERE next_at <= ? ORDER BY next_at LIMIT ?"
    jobs = many(db, Job, due_jobs, now.timestamp(), limit - len(due))
    return due + [run for job in jobs if (run := _fire(db, ids, job, now))]


def _fire(db: Db, ids: Ids, job: Job, now: datetime) -> Run | None:
    """Make the run of a due schedule; what an outage missed is made up for by this one.

    None if the queue takes no new runs, or if the nominal time has had its run: the job was saved again while the clock
    had stepped back.
    """
    assert job.schedule is not None
    assert job.next_at is not None
    put_job(db, replace(job, next_at=next_after(job.schedule, job.updated_at, now)))
    nominal = (job.id, job.next_at.timestamp())
    if modes(db).get(job.queue) is QueueMode.DRAINING:
        return None
    if db.execute("SELECT 1 FROM tick WHERE job_id = ? AND nominal_at = ?", nominal).fetchone():
        return None
    (run,) = enqueue(db, ids, [NewRun(job_id=job.id, cause=SCHEDULED)], now)
    db.execute("INSERT INTO tick VALUES (?, ?, ?)", (*nominal, run.id))
    return run


def queued_hint(db: Db) -> Hint:
    queued, due = db.execute(_HINT).fetchone()
    return Hint(queued=queued, due_at=moment(due) if due is not None else None)
