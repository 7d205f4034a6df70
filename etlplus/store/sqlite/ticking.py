"""
What is due on SQLite: runs that have waited too long fail, schedules are decided, delayed runs become queued.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.reading import readable
from etlplus.store.contract import Hint
from etlplus.store.kept import entry
from etlplus.store.scheduling import UNFINISHED_MAX, Around, Planned, planned, present_time, saved_over
from etlplus.store.sqlite import definitions
from etlplus.store.sqlite.cancelling import cancel_scheduled
from etlplus.store.sqlite.definitions import Definitions
from etlplus.store.sqlite.enqueueing import put_runs
from etlplus.store.sqlite.ledger import decided_at, put_ticks
from etlplus.store.sqlite.queues import modes
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, kept, moment
from etlplus.store.sqlite.turns import take_turns

_DUE = f"SELECT {KEPT} FROM run_live WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at, id LIMIT ?"
_IMPATIENT = f"""
    SELECT {KEPT} FROM run_live WHERE waits_until <= ? AND waits_until IS NOT NULL AND state <> 'running'
    ORDER BY waits_until, id LIMIT ?
"""
DUE_JOBS = "SELECT id, doc FROM job WHERE next_at <= ? AND fault IS NULL ORDER BY next_at, id LIMIT ?"
UNFINISHED = "SELECT count(*) FROM (SELECT 1 FROM run_live WHERE job_id = ? AND of_schedule LIMIT ?)"
HINT = """
    SELECT
        (SELECT count(*) FROM (SELECT 1 FROM run_live WHERE state = 'queued' LIMIT 1000)),
        (SELECT min(at) FROM (
            SELECT min(run_at) AS at FROM run_live WHERE state = 'scheduled'
            UNION ALL SELECT min(waits_until) FROM run_live WHERE waits_until IS NOT NULL AND state <> 'running'
            UNION ALL SELECT min(next_at) FROM job WHERE next_at IS NOT NULL AND fault IS NULL
        ))
"""


def tick(db: Db, known: Definitions, ids: Ids, now: datetime, limit: int) -> tuple[list[Run], list[str]]:
    """The runs that were made or changed, and the jobs whose schedules were decided."""
    late = [kept(row) for row in db.execute(_IMPATIENT, (now.timestamp(), limit)).fetchall()]
    given_up = [entry(line, transitions.time_out(line.present, now)) for line in late]
    moved = record(db, given_up, now) + take_turns(db, known, given_up, now)
    if jobs := _due(db, now, max(limit - len(moved), 0)):
        draining = {name for name, mode in modes(db).items() if mode is QueueMode.DRAINING}
        around = [Around(_unfinished(db, job), job.queue in draining) for job in jobs]
        plans = [planned(job, each, lambda: ids.new(now), now) for job, each in zip(jobs, around, strict=True)]
        moved += _write_all(db, plans, now)
        definitions.move_on(db, [plan.job for plan in plans])
    lines = [kept(row) for row in db.execute(_DUE, (now.timestamp(), max(limit - len(moved), 0))).fetchall()]
    moved += record(db, [entry(line, transitions.come_due(line.present, now)) for line in lines], now)
    return moved, [job.id for job in jobs]


def _due(db: Db, now: datetime, limit: int) -> list[Job]:
    """The jobs whose schedules are to be decided; one that cannot be read is set aside, so that it holds up no other."""
    jobs, faults = readable(db.execute(DUE_JOBS, (now.timestamp(), limit)).fetchall())
    db.executemany("UPDATE job SET fault = ? WHERE id = ?", [(fault, job_id) for job_id, fault in faults.items()])
    return jobs


def save_job(
    db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None
) -> tuple[Job, list[Run]]:
    """Store a version of a job, and first decide what nothing has ticked for: the job, and the runs that this made."""
    present = definitions.job(db, job_id) if job_id is not None else None
    if present is not None:
        now = present_time(now, present, decided_at(db, present.id))
    saved = definitions.save_job(db, ids, draft, now, job_id, expected)
    if present is None:
        return saved, []
    return saved, write(db, saved_over(present, saved, _around(db, present, saved), lambda: ids.new(now), now), now)


def write(db: Db, plan: Planned, now: datetime) -> list[Run]:
    """Write what a schedule does, but for the job itself; all runs that were made or changed."""
    return _write_all(db, [plan], now)


def _write_all(db: Db, plans: Sequence[Planned], now: datetime) -> list[Run]:
    cancelled = [run for plan in plans if plan.cancels for run in cancel_scheduled(db, plan.job.id, now)]
    new = put_ticks(db, [tick for plan in plans for tick in plan.ticks])
    runs = [run for plan in plans for run in plan.made(new, now)]
    put_runs(db, runs, now)
    return cancelled + runs


def _around(db: Db, decided: Job, made_of: Job) -> Around:
    return Around(_unfinished(db, decided), modes(db).get(made_of.queue) is QueueMode.DRAINING)


def _unfinished(db: Db, job: Job) -> int:
    """How many scheduled runs of a job are unfinished, if its schedule wants to know."""
    if job.schedule is None or job.schedule.overlap == "allow":
        return 0
    (amount,) = db.execute(UNFINISHED, (job.id, UNFINISHED_MAX)).fetchone()
    return amount


def queued_hint(db: Db) -> Hint:
    queued, due = db.execute(HINT).fetchone()
    return Hint(queued=queued, due_at=moment(due) if due is not None else None)
