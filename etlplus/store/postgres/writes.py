"""
What people and programs change, on PostgreSQL: one coroutine per unit, in asyncio's flavor, within one transaction.

They lock a record, ask the study what becomes of it, and write what it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from random import Random

import msgspec
from asyncpg import UniqueViolationError
from msgspec.structs import replace

from etlplus.errors import Conflict, NotFound
from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, JobDraft, NewRun, Run, User, UserDraft
from etlplus.jobs.schedule import next_after
from etlplus.store.postgres import statements as sql
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import encode, found, many, one, record_changes


class Writes:
    """The units of the write half, with the ids they need and the shard they tally in."""

    def __init__(self, ids: Ids, rng: Random, shard: int) -> None:
        self._ids = ids
        self._rng = rng
        self._shard = shard

    async def save_job(self, db: Db, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None) -> Job:
        present = None
        if job_id is not None:
            present = found(await one(db, Job, sql.JOB_FOR_CHANGE, job_id), "job", job_id)
            refuse_stale(present, expected)
        job = Job(
            id=present.id if present else self._ids.new(now),
            version=present.version + 1 if present else 1,
            created_at=present.created_at if present else now,
            updated_at=now,
            next_at=next_after(draft.schedule, now, now) if draft.schedule and not draft.paused else None,
            **msgspec.structs.asdict(draft),
        )
        try:
            await db.execute(sql.PUT_JOB, job.id, job.name, job.next_at, encode(job))
        except UniqueViolationError as error:
            raise Conflict(f"another job is called {draft.name!r}", code="name_taken") from error
        await db.execute(sql.PUT_JOB_VERSION, job.id, job.version, encode(job))
        return job

    async def delete_job(self, db: Db, job_id: str, expected: int | None) -> None:
        refuse_stale(found(await one(db, Job, sql.JOB_FOR_CHANGE, job_id), "job", job_id), expected)
        if await db.fetchval(sql.JOB_IS_USED, job_id):
            raise Conflict("the job has unfinished runs", code="job_in_use")
        await db.execute(sql.DELETE_JOB, job_id)

    async def enqueue(self, db: Db, wishes: Sequence[NewRun], now: datetime) -> list[Run]:
        holders = await self._holders(db, wishes)
        wanted = sorted({wish.job_id for wish in wishes})
        jobs = {job.id: job for job in await many(db, Job, sql.JOBS_FOR_RUNS, wanted)}
        if missing := [job_id for job_id in wanted if job_id not in jobs]:
            raise NotFound(f"there is no job {missing[0]!r}")
        answers: list[Run] = []
        changes: list[transitions.Change] = []
        for wish in wishes:
            run = holders.get(wish.unique_key) if wish.unique_key is not None else None
            if run is None:
                changes.append(transitions.enqueue(wish, jobs[wish.job_id], self._ids.new(now), now))
                run = changes[-1][0]
                if wish.unique_key is not None:
                    holders[wish.unique_key] = run
            answers.append(run)
        await record_changes(db, changes, self._shard)
        return answers

    async def _holders(self, db: Db, wishes: Sequence[NewRun]) -> dict[str | None, Run]:
        """Who has the unique keys that are wished for. From here on nobody else can take them."""
        keys = sorted({wish.unique_key for wish in wishes if wish.unique_key is not None})
        if not keys:
            return {}
        await db.execute(sql.LOCK_UNIQUE_KEYS, keys)
        return {run.unique_key: run for run in await many(db, Run, sql.UNIQUE_KEY_HOLDERS, keys)}

    async def cancel(self, db: Db, run_id: str, now: datetime) -> Run:
        run = await one(db, Run, sql.LIVE_RUN_FOR_CHANGE, run_id)
        if run is None:
            finished = found(await one(db, Run, sql.RUN, run_id), "run", run_id)
            raise Conflict(f"the run is {finished.state} already", code="run_finished")
        if run.cancel_requested:
            return run
        (cancelled,) = await record_changes(db, [transitions.cancel(run, now)], self._shard)
        return cancelled

    async def save_user(self, db: Db, draft: UserDraft, now: datetime, user_id: str | None) -> User:
        fields = msgspec.structs.asdict(draft)
        if user_id is None:
            return await _put_user(db, User(id=self._ids.new(now), created_at=now, **fields))
        present = found(await one(db, User, sql.ACCOUNT_FOR_CHANGE, user_id), "user", user_id)
        changed = any(getattr(present, name) != fields[name] for name in ("password_hash", "role", "disabled"))
        return await _put_user(db, replace(present, auth_epoch=present.auth_epoch + changed, **fields))

    async def claim_bootstrap(self, db: Db, draft: UserDraft, now: datetime) -> User:
        await db.execute(sql.LOCK_ACCOUNTS)
        if await db.fetchval(sql.ANY_ACCOUNT):
            raise Conflict("there is a user already", code="bootstrap_closed")
        return await self.save_user(db, draft, now, None)

    async def bump_epoch(self, db: Db, user_id: str) -> User:
        user = found(await one(db, User, sql.ACCOUNT_FOR_CHANGE, user_id), "user", user_id)
        return await _put_user(db, replace(user, auth_epoch=user.auth_epoch + 1))


def refuse_stale(job: Job, expected: int | None) -> None:
    """Refuse a change by somebody who has not seen the newest version."""
    if expected is not None and job.version != expected:
        raise Conflict(f"the job is at version {job.version}, not {expected} any more", code="stale_version")


async def _put_user(db: Db, user: User) -> User:
    try:
        await db.execute(sql.PUT_ACCOUNT, user.id, user.name, encode(user))
    except UniqueViolationError as error:
        raise Conflict(f"another user is called {user.name!r}", code="name_taken") from error
    return user
