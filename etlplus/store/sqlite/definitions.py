"""
Jobs on SQLite: saving and deleting them, and finding the version that a run was made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from etlplus.errors import Conflict, Stale
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.jobs.reading import read_version
from etlplus.jobs.schedule import next_after
from etlplus.store.refusals import refuse_job, refused_name
from etlplus.store.sqlite import queues
from etlplus.store.sqlite.limits import limits
from etlplus.store.sqlite.records import Db, encode, found, one_job

REMEMBERED_MAX = 1000
_PUT_JOB = """
    INSERT INTO job (id, name, next_at, doc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, next_at = excluded.next_at, doc = excluded.doc, failures = 0,
        fault = NULL
"""


def save_job(db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None) -> Job:
    present = found(job(db, job_id), "job", job_id) if job_id is not None else None
    _refuse_stale(present, expected)
    refuse_job(draft, queues.names(db), {limit.name for limit in limits(db)})
    holder = one_job(db, "SELECT doc FROM job WHERE name = ?", draft.name)
    if holder is not None and holder.id != job_id:
        raise refused_name(draft.name)
    saved = Job(
        id=present.id if present else ids.new(now),
        version=present.version + 1 if present else 1,
        created_at=present.created_at if present else now,
        updated_at=now,
        next_at=next_after(draft.schedule, now, now) if draft.schedule and not draft.paused else None,
        **msgspec.structs.asdict(draft),
    )
    put_version(db, saved)
    return saved


def delete_job(db: Db, job_id: str, expected: int | None) -> None:
    _refuse_stale(found(job(db, job_id), "job", job_id), expected)
    if db.execute("SELECT 1 FROM run_live WHERE job_id = ? LIMIT 1", (job_id,)).fetchone():
        raise Conflict("the job has unfinished runs", code="job_in_use")
    db.execute("DELETE FROM job WHERE id = ?", (job_id,))


def job(db: Db, job_id: str) -> Job | None:
    return one_job(db, "SELECT doc FROM job WHERE id = ?", job_id)


def put_version(db: Db, saved: Job) -> None:
    """Store a new version; whether its scheduled runs fail is counted from here."""
    next_at = saved.next_at.timestamp() if saved.next_at else None
    db.execute(_PUT_JOB, (saved.id, saved.name, next_at, encode(saved)))
    db.execute("INSERT INTO job_version VALUES (?, ?, ?)", (saved.id, saved.version, encode(saved)))


def move_on(db: Db, jobs: Sequence[Job]) -> None:
    """The same versions, with other next times."""
    rows = [(job.next_at.timestamp() if job.next_at else None, encode(job), job.id) for job in jobs]
    db.executemany("UPDATE job SET next_at = ?, doc = ? WHERE id = ?", rows)


def _refuse_stale(present: Job | None, expected: int | None) -> None:
    if present is not None and expected is not None and present.version != expected:
        raise Stale(f"the job is at version {present.version}, not {expected} any more")


class Definitions:
    """Versions of jobs, remembered: one never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Job] = {}

    def of(self, db: Db, runs: Iterable[Run]) -> list[Job]:
        """The definition that each run was made from, in order; for one that cannot be read, a stand-in."""
        return [self._version(db, run.job_id, run.job_version) for run in runs]

    def _version(self, db: Db, job_id: str, version: int) -> Job:
        known = self._known.get((job_id, version))
        if known is None:
            sql = "SELECT doc FROM job_version WHERE job_id = ? AND version = ?"
            row = db.execute(sql, (job_id, version)).fetchone()
            known = read_version(job_id, version, row[0] if row else None)
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            self._known[job_id, version] = known
        return known
