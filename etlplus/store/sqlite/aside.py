"""
Runs whose definition cannot be read, on SQLite: a claim sets them aside, where no claim finds them, and takes the others.

Another program may be able to read what this one cannot, so they are looked at again whenever one starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from etlplus.jobs.model import Job
from etlplus.jobs.reading import UNREAD
from etlplus.store.contract import Claimed
from etlplus.store.kept import Kept
from etlplus.store.sqlite.definitions import Definitions
from etlplus.store.sqlite.enqueueing import move
from etlplus.store.sqlite.recording import free
from etlplus.store.sqlite.records import KEPT, Db, kept

_UNTAKE = """
    UPDATE run_live SET state = 'queued', worker_id = NULL, claimed_at = NULL, attempt = attempt - 1, slotted = false
    WHERE id = ?
"""
_ASIDE = f"""
    SELECT {KEPT} FROM run_live
    WHERE state = 'queued' AND lane IN (SELECT id FROM lane WHERE labels = ?) ORDER BY id
"""


def set_aside(
    db: Db, lines: Sequence[Kept], jobs: Sequence[Job], now: datetime
) -> tuple[list[Claimed], list[Kept], bool]:
    """What of a claim can be carried out, with its lines, and whether that was not all."""
    unread = [line.run for line, job in zip(lines, jobs, strict=True) if not job.is_whole]
    db.executemany(_UNTAKE, [(run.id,) for run in unread])
    move(db, [replace(run, labels=(UNREAD,), limit=None, limit_key="") for run in unread], now)
    free(db, [run.id for run in unread], now)
    good = [(line, job) for line, job in zip(lines, jobs, strict=True) if job.is_whole]
    return [Claimed(line.present, job) for line, job in good], [line for line, _ in good], bool(unread)


def try_again(db: Db) -> bool:
    """Another program may be able to read what the last one could not: schedules, and what runs were made from. True if any
    run is to be looked at again.
    """
    db.execute("UPDATE job SET fault = NULL WHERE fault IS NOT NULL")
    runs = [kept(row).run for row in db.execute(_ASIDE, (UNREAD,)).fetchall()]
    if runs:
        move(db, runs, min(run.run_at for run in runs))
    return bool(runs)


def fault_of(db: Db, line: Kept) -> str | None:
    """Why what a run was made from cannot be read, if it cannot."""
    (job,) = Definitions().of(db, [line.run])
    return None if job.is_whole else job.fault
