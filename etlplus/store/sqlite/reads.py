"""
What people look at, on SQLite: plain functions on a connection that only reads.
"""

from __future__ import annotations

from typing import Any

from etlplus.jobs.model import Attempt, Job, Run, RunEvent, RunState, User, Worker
from etlplus.store.contract import Counts, RunFilter, Statistics
from etlplus.store.sqlite.schema import MIGRATIONS
from etlplus.store.sqlite.units import Db, found, many, one


def job(db: Db, job_id: str) -> Job:
    return found(one(db, Job, "SELECT doc FROM job WHERE id = ?", job_id), "job", job_id)


def job_named(db: Db, name: str) -> Job | None:
    return one(db, Job, "SELECT doc FROM job WHERE name = ?", name)


def jobs(db: Db, limit: int, after: str | None) -> list[Job]:
    return many(db, Job, "SELECT doc FROM job WHERE name > ? ORDER BY name LIMIT ?", after or "", limit)


def run(db: Db, run_id: str) -> Run:
    return found(one(db, Run, "SELECT doc FROM run WHERE id = ?", run_id), "run", run_id)


def runs(db: Db, which: RunFilter, limit: int, after: str | None) -> list[Run]:
    """A page, newest first; the conditions are fixed texts, all values are bound."""
    conditions: list[str] = []
    values: list[Any] = []
    if which.states:
        conditions.append(f"state IN ({', '.join('?' * len(which.states))})")
        values += which.states
    for column, value in (("job_id", which.job_id), ("queue", which.queue)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if after is not None:
        conditions.append("id < ?")
        values.append(after)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return many(db, Run, f"SELECT doc FROM run {where} ORDER BY id DESC LIMIT ?", *values, limit)


def events(db: Db, run_id: str, after_version: int, limit: int) -> list[RunEvent]:
    sql = "SELECT doc FROM run_event WHERE run_id = ? AND version > ? ORDER BY version LIMIT ?"
    return many(db, RunEvent, sql, run_id, after_version, limit)


def attempts(db: Db, run_id: str) -> list[Attempt]:
    return many(db, Attempt, "SELECT doc FROM attempt WHERE run_id = ? ORDER BY number", run_id)


def counts(db: Db) -> Counts:
    present = dict(db.execute("SELECT state, amount FROM run_count"))
    (job_count,) = db.execute("SELECT count(*) FROM job").fetchone()
    (worker_count,) = db.execute("SELECT count(*) FROM worker").fetchone()
    stale = db.execute("SELECT amount FROM counter WHERE name = 'stale'").fetchone()
    return Counts(
        runs={state: present.get(state, 0) for state in RunState},
        jobs=job_count,
        workers=worker_count,
        stale_results=stale[0] if stale else 0,
    )


def workers(db: Db) -> list[Worker]:
    return many(db, Worker, "SELECT doc FROM worker ORDER BY id")


def user(db: Db, user_id: str) -> User:
    return found(one(db, User, "SELECT doc FROM user WHERE id = ?", user_id), "user", user_id)


def user_named(db: Db, name: str) -> User | None:
    return one(db, User, "SELECT doc FROM user WHERE name = ?", name)


def has_users(db: Db) -> bool:
    return db.execute("SELECT 1 FROM user LIMIT 1").fetchone() is not None


def statistics(db: Db, figures: dict[str, float]) -> Statistics:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    return Statistics(kind="sqlite", schema_version=len(MIGRATIONS), size_bytes=pages * page_bytes, figures=figures)
