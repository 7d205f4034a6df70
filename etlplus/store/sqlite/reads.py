"""
What people look at, on SQLite: plain functions on a connection that only reads.
"""

from __future__ import annotations

from typing import Any

from etlplus.jobs.model import Attempt, Job, Run, RunEvent, RunState, Worker
from etlplus.store.contract import Counts, RunFilter, Statistics
from etlplus.store.kept import history
from etlplus.store.sqlite.enqueueing import line_of
from etlplus.store.sqlite.records import (
    KEPT,
    Db,
    attempt,
    decode,
    events,
    found,
    kept,
    many,
    many_jobs,
    marks,
    one,
    one_job,
)
from etlplus.store.sqlite.schema import MIGRATIONS

_COUNTS = " UNION ALL ".join(
    f"SELECT '{state}', count(*) FROM run_live WHERE state = '{state}'"
    for state in (RunState.SCHEDULED, RunState.BLOCKED, RunState.QUEUED, RunState.RUNNING)
)


def job(db: Db, job_id: str) -> Job:
    return found(one_job(db, "SELECT doc FROM job WHERE id = ?", job_id), "job", job_id)


def job_named(db: Db, name: str) -> Job | None:
    return one_job(db, "SELECT doc FROM job WHERE name = ?", name)


def jobs(db: Db, limit: int, after: str | None) -> list[Job]:
    return many_jobs(db, "SELECT doc FROM job WHERE name > ? ORDER BY name LIMIT ?", after or "", limit)


def run(db: Db, run_id: str) -> Run:
    """The run is looked for among the unfinished first, since it moves from there to the finished only."""
    line = line_of(db, run_id)
    return line.present if line else found(one(db, Run, "SELECT doc FROM run WHERE id = ?", run_id), "run", run_id)


def runs(db: Db, which: RunFilter, limit: int, after: str | None) -> list[Run]:
    """A page, newest first; the conditions are fixed texts, all values are bound."""
    conditions, values = ["true"], list[Any]()
    if which.states:
        conditions.append(f"state IN ({marks(len(which.states))})")
        values += which.states
    for column, value in (("job_id", which.job_id), ("queue", which.queue)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if after is not None:
        conditions.append("id < ?")
        values.append(after)
    tail = f"WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT ?"
    values.append(limit)
    live = [kept(row).present for row in db.execute(f"SELECT {KEPT} FROM run_live {tail}", values).fetchall()]
    over = [decode(Run, row[0]) for row in db.execute(f"SELECT doc FROM run {tail}", values).fetchall()]
    return sorted(live + over, key=lambda each: each.id, reverse=True)[:limit]


def run_events(db: Db, run_id: str, after_version: int, limit: int) -> list[RunEvent]:
    sql = "SELECT doc FROM run_event WHERE run_id = ? AND version > ? ORDER BY version LIMIT ?"
    line = line_of(db, run_id)
    written = [events(row[0]) for row in db.execute(sql, (run_id, after_version, limit))]
    return [event for event in history(run_id, written, line) if event.version > after_version][:limit]


def attempts(db: Db, run_id: str) -> list[Attempt]:
    sql = "SELECT attempt FROM run_event WHERE run_id = ? AND attempt IS NOT NULL ORDER BY version"
    line = line_of(db, run_id)
    ended = [attempt(row[0]) for row in db.execute(sql, (run_id,))]
    in_hand = line.attempt_in_hand if line else None
    if in_hand is not None and all(each.number != in_hand.number for each in ended):
        ended.append(in_hand)
    return ended


def counts(db: Db) -> Counts:
    present = dict(db.execute("SELECT state, amount FROM run_count")) | dict(db.execute(_COUNTS))
    (letter_count,) = db.execute("SELECT count(*) FROM dead_letter WHERE resolution IS NULL").fetchone()
    (job_count,) = db.execute("SELECT count(*) FROM job").fetchone()
    (worker_count,) = db.execute("SELECT count(*) FROM worker").fetchone()
    stale = db.execute("SELECT amount FROM counter WHERE name = 'stale'").fetchone()
    return Counts(
        runs={state: present.get(state, 0) for state in RunState},
        letters=letter_count,
        jobs=job_count,
        workers=worker_count,
        stale_results=stale[0] if stale else 0,
    )


def workers(db: Db) -> list[Worker]:
    return many(db, Worker, "SELECT doc FROM worker ORDER BY id")


def statistics(db: Db, figures: dict[str, float]) -> Statistics:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    return Statistics(kind="sqlite", schema_version=len(MIGRATIONS), size_bytes=pages * page_bytes, figures=figures)
