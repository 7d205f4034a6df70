"""
What is due on SQLite: runs that have waited too long fail, schedules are decided, delayed runs become queued.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.jobs.queues import QueueMode
from etlplus.store.contract import Hint
from etlplus.store.kept import entry
from etlplus.store.scheduling import UNFINISHED_MAX, Around, Planned, planned, saved_over
from etlplus.store.sqlite import definitions
from etlplus.store.sqlite.cancelling import cancel_scheduled
from etlplus.store.sqlite.definitions import Definitions
from etlplus.store.sqlite.enqueueing import put_runs
from etlplus.store.sqlite.ledger import put_ticks
from etlplus.store.sqlite.queues import modes
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, kept, many, moment
from etlplus.store.sqlite.turns import take_turns

_DUE = f"SELECT {KEPT} FROM run_live WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at, id LIMIT ?"
_IMPATIENT = f"""
    SELECT {KEPT} FROM run_live WHERE waits_until <= ? AND waits_until IS NOT NULL AND state <> 'running'
    ORDER BY waits_until, id LIMIT ?
"""
DUE_JOBS = "SELECT doc FROM job WHERE next_at <= ? ORDER BY next_at, id LIMIT ?"
UNFINISHED = "SELECT count(*) FROM (SELECT 1 FROM run_live WHERE job_id = ? AND of_schedule LIMIT ?)"
HINT = """
    SELECT
        (SELECT count(*) FROM (SELECT 1 FROM run_live WHERE state = 'queued' LIMIT 1000)),
        (SELECT min(at) FROM (
            SELECT min(run_at) AS at FROM run_live WHERE state = 'scheduled'
            UNION ALL SELECT min(waits_until) FROM run_live WHERE waits_until IS NOT NULL AND state <> 'running'
            UNION ALL SELECT min(next_at) FROM job WHERE next_at IS NOT NULL
        ))
"""


def tick(db: Db, known: Definitions, ids: Ids, now: datetime, limit: int) -> list[Run]:
    late = [kept(row) for row in db.execute(_IMPATIENT, (now.timestamp(), limit)).fetchall()]
    given_up = [entry(line, transitions.time_out(line.present, now)) for line in late]
    moved = record(db, given_up, now) + take_turns(db, known, given_up, now)
    for job in many(db, Job, DUE_JOBS, now.timestamp(), max(limit - len(moved), 0)):
        plan = planned(job, _around(db, job, job), lambda: ids.new(now), now)
        moved += write(db, plan, now)
        definitions.move_on(db, plan.job)
    lines = [kept(row) for row in db.execute(_DUE, (now.timestamp(), max(limit - len(moved), 0))).fetchall()]
    return moved + record(db, [entry(line, transitions.come_due(line.present, now)) for line in lines], now)


def save_job(
    db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None
) -> tuple[Job, list[Run]]:
    """Store a version of a job, and first decide what nothing has ticked for: the job, and the runs that this made."""
    present = definitions.job(db, job_id) if job_id is not None else None
    saved = definitions.save_job(db, ids, draft, now, job_id, expected)
    if present is None:
        return saved, []
    return saved, write(db, saved_over(present, saved, _around(db, present, saved), lambda: ids.new(now), now), now)


def write(db: Db, plan: Planned, now: datetime) -> list[Run]:
    """Write what a schedule does, but for the job itself; all runs that were made or changed."""
    cancelled = cancel_scheduled(db, plan.job.id, now) if plan.cancels else []
    runs = plan.made(put_ticks(db, plan.ticks), now)
    put_runs(db, runs, now)
    return cancelled + runs


def _around(db: Db, decided: Job, made_of: Job) -> Around:
    unfinished = 0
    if decided.schedule is not None and decided.schedule.overlap != "allow":
        (unfinished,) = db.execute(UNFINISHED, (decided.id, UNFINISHED_MAX)).fetchone()
    return Around(unfinished, modes(db).get(made_of.queue) is QueueMode.DRAINING)


def queued_hint(db: Db) -> Hint:
    queued, due = db.execute(HINT).fetchone()
    return Hint(queued=queued, due_at=moment(due) if due is not None else None)
