"""
What people look at, on PostgreSQL: single statements, outside any transaction.
"""

from __future__ import annotations

from etlplus.jobs.model import Attempt, Job, Run, RunEvent, RunState, User, Worker
from etlplus.store.contract import Counts, RunFilter
from etlplus.store.postgres import statements as sql
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import found, many, one


async def job(db: Db, job_id: str) -> Job:
    return found(await one(db, Job, sql.JOB, job_id), "job", job_id)


async def job_named(db: Db, name: str) -> Job | None:
    return await one(db, Job, sql.JOB_NAMED, name)


async def jobs(db: Db, limit: int, after: str | None) -> list[Job]:
    return await many(db, Job, sql.JOBS, after or "", limit)


async def run(db: Db, run_id: str) -> Run:
    return found(await one(db, Run, sql.RUN, run_id), "run", run_id)


async def runs(db: Db, which: RunFilter, limit: int, after: str | None) -> list[Run]:
    return await many(db, Run, sql.RUNS, list(which.states) or None, which.job_id, which.queue, after, limit)


async def events(db: Db, run_id: str, after_version: int, limit: int) -> list[RunEvent]:
    return await many(db, RunEvent, sql.EVENTS, run_id, after_version, limit)


async def attempts(db: Db, run_id: str) -> list[Attempt]:
    return await many(db, Attempt, sql.ATTEMPTS, run_id)


async def counts(db: Db) -> Counts:
    amounts = {row["name"]: row["amount"] for row in await db.fetch(sql.COUNTS)}
    return Counts(
        runs={state: amounts.get(state, 0) for state in RunState},
        jobs=amounts["jobs"],
        workers=amounts["workers"],
        stale_results=amounts.get("stale", 0),
    )


async def workers(db: Db) -> list[Worker]:
    return [Worker(**row) for row in await db.fetch(sql.WORKERS)]


async def user(db: Db, user_id: str) -> User:
    return found(await one(db, User, sql.ACCOUNT, user_id), "user", user_id)


async def user_named(db: Db, name: str) -> User | None:
    return await one(db, User, sql.ACCOUNT_NAMED, name)


async def has_users(db: Db) -> bool:
    return await db.fetchval(sql.ANY_ACCOUNT)
