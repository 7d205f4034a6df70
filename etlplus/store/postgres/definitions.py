"""
Jobs on PostgreSQL: saving and deleting them, and finding the version that a run was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from asyncpg import UniqueViolationError

from etlplus.errors import Conflict, Stale
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.jobs.reading import read_version
from etlplus.jobs.schedule import next_after
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import encode, found, one_job
from etlplus.store.postgres.sql import definitions as sql
from etlplus.store.postgres.sql import queues
from etlplus.store.refusals import refuse_job, refused_name

REMEMBERED_MAX = 1000


async def save_job(db: Db, ids: Ids, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None) -> Job:
    present = None
    if job_id is not None:
        present = found(await one_job(db, sql.JOB_FOR_CHANGE, job_id), "job", job_id)
        _refuse_stale(present, expected)
    job = Job(
        id=present.id if present else ids.new(now),
        version=present.version + 1 if present else 1,
        created_at=present.created_at if present else now,
        updated_at=now,
        next_at=next_after(draft.schedule, now, now) if draft.schedule and not draft.paused else None,
        **msgspec.structs.asdict(draft),
    )
    names = {row["name"] for row in await db.fetch(queues.QUEUE_NAMES)}
    refuse_job(draft, names, {row["name"] for row in await db.fetch(queues.LIMIT_NAMES)})
    try:
        await put_version(db, job)
    except UniqueViolationError as error:
        raise refused_name(draft.name) from error
    return job


async def put_version(db: Db, job: Job) -> None:
    """Store a new version."""
    await db.execute(sql.PUT_JOB, job.id, job.name, job.next_at, encode(job))
    await db.execute(sql.PUT_JOB_VERSION, job.id, job.version, encode(job))


async def delete_job(db: Db, job_id: str, expected: int | None) -> None:
    _refuse_stale(found(await one_job(db, sql.JOB_FOR_CHANGE, job_id), "job", job_id), expected)
    if await db.fetchval(sql.JOB_IS_USED, job_id):
        raise Conflict("the job has unfinished runs", code="job_in_use")
    await db.execute(sql.DELETE_JOB, job_id)


def _refuse_stale(job: Job, expected: int | None) -> None:
    if expected is not None and job.version != expected:
        raise Stale(f"the job is at version {job.version}, not {expected} any more")


class Definitions:
    """Versions of jobs, remembered: one never changes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Job] = {}

    async def of(self, db: Db, runs: Iterable[Run]) -> list[Job]:
        """The definition that each run was made from, in order; for one that cannot be read, a stand-in."""
        wanted = [(run.job_id, run.job_version) for run in runs]
        if missing := {key for key in wanted if key not in self._known}:
            if len(self._known) + len(missing) > REMEMBERED_MAX:
                self._known = {key: job for key, job in self._known.items() if key in wanted}
            ids, versions = zip(*sorted(missing), strict=True)
            docs = {
                (row["job_id"], row["version"]): row["doc"] for row in await db.fetch(sql.JOB_VERSIONS, ids, versions)
            }
            self._known |= {key: read_version(*key, docs.get(key)) for key in missing}
        return [self._known[key] for key in wanted]
