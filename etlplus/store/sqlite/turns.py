"""
What the end of a schedule's run means for its job on SQLite: the run that waits its turn goes on, and a job whose runs fail
one after the other is paused. All of it in the unit that ends the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from etlplus.jobs import transitions
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.reading import read_job
from etlplus.store.kept import Entry, entry
from etlplus.store.scheduling import after_failure, concerns_schedule, counts_failures, present_time
from etlplus.store.sqlite.definitions import Definitions, put_version
from etlplus.store.sqlite.ledger import decided_at, put_ticks
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, kept

NEXT_IN_TURN = f"""
    SELECT {KEPT} FROM run_live
    WHERE job_id = :job AND of_schedule AND state = 'blocked'
        AND NOT EXISTS (SELECT 1 FROM run_live WHERE job_id = :job AND of_schedule AND state <> 'blocked')
    ORDER BY id LIMIT 1
"""
_ROW = "SELECT failures, doc FROM job WHERE id = ? AND (failures > 0 OR ?)"
_COUNTED = "UPDATE job SET failures = ? WHERE id = ?"


def take_turns(db: Db, definitions: Definitions, entries: Iterable[Entry], now: datetime) -> list[Run]:
    """After transitions were written: count failures, and let go on what waited; the runs that do."""
    ended = [each for each in entries if concerns_schedule(each)]
    for run, job in zip([each.run for each in ended], definitions.of(db, [each.run for each in ended]), strict=True):
        if counts_failures(run, job):
            _count(db, run, now)
    return release(db, ended, now)


def release(db: Db, entries: Sequence[Entry], now: datetime) -> list[Run]:
    """Of each schedule that had a run end and has none in hand or in a queue, the first that waits its turn goes on."""
    jobs = dict.fromkeys(each.run.job_id for each in entries if concerns_schedule(each))
    rows = [row for job_id in jobs for row in db.execute(NEXT_IN_TURN, {"job": job_id}).fetchall()]
    lines = [kept(row) for row in rows]
    return record(db, [entry(line, transitions.release(line.present, now)) for line in lines], now)


def _count(db: Db, run: Run, now: datetime) -> None:
    """Runs of an earlier version tell nothing of the present one, which somebody may have saved because they failed."""
    failed = run.state is RunState.FAILED
    row = db.execute(_ROW, (run.job_id, failed)).fetchone()
    if row is None or (job := read_job(row[1])).version != run.job_version:
        return
    failures = row[0] + 1 if failed else 0
    if pause := after_failure(job, failures, run, present_time(now, job, decided_at(db, job.id))):
        put_version(db, pause.job)
        put_ticks(db, pause.ticks)
    else:
        db.execute(_COUNTED, (failures, run.job_id))
