"""
Cancelling runs on SQLite: one that a person names, or all that a schedule has made and that are unfinished.
"""

from __future__ import annotations

from datetime import datetime

from etlplus.errors import Conflict
from etlplus.jobs import transitions
from etlplus.jobs.model import Run
from etlplus.store.kept import entry
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.recording import record
from etlplus.store.sqlite.records import KEPT, Db, found, kept, one
from etlplus.store.sqlite.turns import release

OF_SCHEDULE = f"SELECT {KEPT} FROM run_live WHERE job_id = ? AND of_schedule AND NOT cancel_requested ORDER BY id"


def cancel(db: Db, run_id: str, now: datetime) -> list[Run]:
    """The run as it is now, and after it the one that goes on in its place, if any."""
    line = line_of(db, run_id)
    if line is None:
        finished = found(one(db, Run, "SELECT doc FROM run WHERE id = ?", run_id), "run", run_id)
        raise Conflict(f"the run is {finished.state} already", code="run_finished")
    if line.present.cancel_requested:
        return [line.present]
    cancelled = entry(line, transitions.cancel(line.present, now))
    return record(db, [cancelled], now) + release(db, [cancelled], now)


def cancel_scheduled(db: Db, job_id: str, now: datetime) -> list[Run]:
    """Cancel what a schedule has made: what waits at once, what runs by asking its worker."""
    lines = [kept(row) for row in db.execute(OF_SCHEDULE, (job_id,)).fetchall()]
    return record(db, [entry(line, transitions.cancel(line.present, now)) for line in lines], now)
