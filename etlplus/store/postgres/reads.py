"""
What people look at, on PostgreSQL: single statements, outside any transaction, unless what is unfinished has to fit what is
in the history.
"""

from __future__ import annotations

from typing import Any

import msgspec

from etlplus.jobs.model import Attempt, Job, Run, RunEvent, RunState, Worker
from etlplus.store.contract import Counts, RunFilter
from etlplus.store.kept import Kept, history
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import attempt, decode, events, found, kept, many_jobs, one_job
from etlplus.store.postgres.sql import claims, definitions
from etlplus.store.postgres.sql import runs as sql


async def job(db: Db, job_id: str) -> Job:
    return found(await one_job(db, definitions.JOB, job_id), "job", job_id)


async def job_named(db: Db, name: str) -> Job | None:
    return await one_job(db, definitions.JOB_NAMED, name)


async def jobs(db: Db, limit: int, after: str | None) -> list[Job]:
    return await many_jobs(db, definitions.JOBS, after or "", limit)


async def line(db: Db, run_id: str) -> Kept | None:
    """The line of an unfinished run."""
    row = await db.fetchrow(sql.LIVE_RUN, run_id)
    return kept(row) if row is not None else None


async def run(db: Db, run_id: str) -> Run:
    """The run is looked for among the unfinished first, since it moves from there to the finished only."""
    unfinished = await line(db, run_id)
    if unfinished is not None:
        return unfinished.present
    return decode(Run, found(await db.fetchval(sql.FINISHED_RUN, run_id), "run", run_id))


async def runs(db: Db, which: RunFilter, limit: int, after: str | None) -> list[Run]:
    rows = await db.fetch(sql.RUNS, list(which.states) or None, which.job_id, which.queue, after, limit)
    return [kept(row).present for row in rows]


async def run_events(db: Db, run_id: str, after_version: int, limit: int) -> list[RunEvent]:
    unfinished = await line(db, run_id)
    written = [events(row["doc"]) for row in await db.fetch(sql.EVENTS, run_id, after_version, limit)]
    told = [event for event in history(run_id, written, unfinished) if event.version > after_version]
    return told[:limit]


async def attempts(db: Db, run_id: str) -> list[Attempt]:
    unfinished = await line(db, run_id)
    ended = [attempt(row["attempt"]) for row in await db.fetch(sql.ATTEMPTS, run_id)]
    in_hand = unfinished.attempt_in_hand if unfinished else None
    if in_hand is not None and all(each.number != in_hand.number for each in ended):
        ended.append(in_hand)
    return ended


async def counts(db: Db) -> Counts:
    amounts = {row["name"]: row["amount"] for row in await db.fetch(sql.COUNTS)}
    return Counts(
        runs={state: amounts.get(state, 0) for state in RunState},
        letters=amounts["letters"],
        jobs=amounts["jobs"],
        workers=amounts["workers"],
        stale_results=amounts.get("stale", 0),
    )


async def workers(db: Db) -> list[Worker]:
    rows: list[Any] = await db.fetch(claims.WORKERS)
    return [msgspec.convert(dict(row), Worker) for row in rows]
