"""
The units of work on SQLite: plain functions on a connection, each run within a savepoint by whoever calls it.

They read a record, ask the study what becomes of it, and write what it says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from etlplus.errors import Conflict, NotFound
from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import (
    PRIORITY_STEP_S,
    Attempt,
    Job,
    JobDraft,
    NewRun,
    Run,
    RunEvent,
    RunState,
    User,
    UserDraft,
    Worker,
)
from etlplus.jobs.outcome import Result, Returned
from etlplus.jobs.schedule import next_after
from etlplus.store.contract import Beat, Claimed, Hint, Outcome, Settled

T = TypeVar("T")
Db = sqlite3.Connection
SCHEDULED = "schedule"

_encode = msgspec.json.Encoder().encode


def decode(kind: type[T], doc: bytes) -> T:
    """A record from its column."""
    return msgspec.json.decode(doc, type=kind)


def one(db: Db, kind: type[T], sql: str, *values: Any) -> T | None:
    """The record that a statement finds, or None."""
    row = db.execute(sql, values).fetchone()
    return decode(kind, row[0]) if row else None


def many(db: Db, kind: type[T], sql: str, *values: Any) -> list[T]:
    """All records that a statement finds."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(row[0]) for row in db.execute(sql, values)]


def found(record: T | None, what: str, name: str) -> T:
    """The record, or NotFound."""
    if record is None:
        raise NotFound(f"there is no {what} {name!r}")
    return record


class Units:
    """The units, with the ids and the randomness they need."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ids = Ids(rng)

    def save_job(self, db: Db, draft: JobDraft, now: datetime, job_id: str | None, expected: int | None) -> Job:
        present = found(_job(db, job_id), "job", job_id) if job_id is not None else None
        _refuse_stale(present, expected)
        holder = one(db, Job, "SELECT doc FROM job WHERE name = ?", draft.name)
        if holder is not None and holder.id != job_id:
            raise Conflict(f"another job is called {draft.name!r}", code="name_taken")
        job = Job(
            id=present.id if present else self._ids.new(now),
            version=present.version + 1 if present else 1,
            created_at=present.created_at if present else now,
            updated_at=now,
            next_at=next_after(draft.schedule, now, now) if draft.schedule and not draft.paused else None,
            **msgspec.structs.asdict(draft),
        )
        _put_job(db, job)
        db.execute("INSERT INTO job_version VALUES (?, ?, ?)", (job.id, job.version, _encode(job)))
        return job

    def delete_job(self, db: Db, job_id: str, expected: int | None) -> None:
        _refuse_stale(found(_job(db, job_id), "job", job_id), expected)
        if db.execute("SELECT 1 FROM run_live WHERE job_id = ? LIMIT 1", (job_id,)).fetchone():
            raise Conflict("the job has unfinished runs", code="job_in_use")
        db.execute("DELETE FROM job WHERE id = ?", (job_id,))

    def enqueue(self, db: Db, wishes: Sequence[NewRun], now: datetime) -> list[Run]:
        return [self._enqueue(db, wish, now) for wish in wishes]

    def _enqueue(self, db: Db, wish: NewRun, now: datetime) -> Run:
        job = found(_job(db, wish.job_id), "job", wish.job_id)
        if wish.unique_key is not None and (holder := _holder(db, wish.unique_key)):
            return holder
        return _write(db, *transitions.enqueue(wish, job, self._ids.new(now), now))

    def cancel(self, db: Db, run_id: str, now: datetime) -> Run:
        run = found(_run(db, run_id), "run", run_id)
        if run.state.is_final:
            raise Conflict(f"the run is {run.state} already", code="run_finished")
        return run if run.cancel_requested else _write(db, *transitions.cancel(run, now))

    def save_user(self, db: Db, draft: UserDraft, now: datetime, user_id: str | None) -> User:
        present = found(_user(db, user_id), "user", user_id) if user_id is not None else None
        holder = one(db, User, "SELECT doc FROM user WHERE name = ?", draft.name)
        if holder is not None and holder.id != user_id:
            raise Conflict(f"another user is called {draft.name!r}", code="name_taken")
        fields = msgspec.structs.asdict(draft)
        if present is None:
            return _put_user(db, User(id=self._ids.new(now), created_at=now, **fields))
        weighty = ("password_hash", "role", "disabled")
        changed = any(getattr(present, name) != fields[name] for name in weighty)
        return _put_user(db, replace(present, auth_epoch=present.auth_epoch + changed, **fields))

    def claim_bootstrap(self, db: Db, draft: UserDraft, now: datetime) -> User:
        if db.execute("SELECT 1 FROM user LIMIT 1").fetchone():
            raise Conflict("there is a user already", code="bootstrap_closed")
        return self.save_user(db, draft, now, None)

    def bump_epoch(self, db: Db, user_id: str) -> User:
        user = found(_user(db, user_id), "user", user_id)
        return _put_user(db, replace(user, auth_epoch=user.auth_epoch + 1))

    def join(self, db: Db, worker: Worker) -> None:
        _put_worker(db, worker)

    def beat(self, db: Db, worker_id: str, now: datetime, expires_at: datetime) -> Beat:
        worker = one(db, Worker, "SELECT doc FROM worker WHERE id = ?", worker_id)
        if worker is None:
            return Beat(alive=False)
        _put_worker(db, replace(worker, beat_at=now, expires_at=expires_at))
        wanted = "SELECT id FROM run_live WHERE worker_id = ? AND state = 'running' AND cancel_requested"
        return Beat(alive=True, cancel=tuple(row[0] for row in db.execute(wanted, (worker_id,))))

    def claim(self, db: Db, worker_id: str, limit: int, now: datetime) -> list[Claimed]:
        alive = "SELECT 1 FROM worker WHERE id = ? AND expires_at > ?"
        if not db.execute(alive, (worker_id, now.timestamp())).fetchone():
            raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
        best = "SELECT id FROM run_live WHERE state = 'queued' ORDER BY rank_at, id LIMIT ?"
        ids = [row[0] for row in db.execute(best, (limit,))]
        return [self._claim(db, run_id, worker_id, now) for run_id in ids]

    def _claim(self, db: Db, run_id: str, worker_id: str, now: datetime) -> Claimed:
        run = found(_run(db, run_id), "run", run_id)
        run = _write(db, *transitions.claim(run, worker_id, now))
        _put_attempt(db, transitions.begun(run, worker_id, now))
        return Claimed(run, _job_of(db, run))

    def freeze(self, db: Db, run_id: str, attempt: int, bounds: Mapping[str, Any]) -> bool:
        run = _run(db, run_id)
        if run is None or run.state is not RunState.RUNNING or run.attempt != attempt or run.bounds is not None:
            return False
        _put_run(db, replace(run, bounds=dict(bounds)))
        return True

    def acknowledge(self, db: Db, outcome: Outcome, now: datetime) -> Settled:
        run = _run(db, outcome.run_id)
        held = (outcome.attempt, outcome.worker_id, RunState.RUNNING)
        if run is None or (run.attempt, run.worker_id, run.state) != held:
            db.execute("INSERT INTO counter VALUES ('stale', 1) ON CONFLICT DO UPDATE SET amount = amount + 1")
            return Settled(run_id=outcome.run_id, attempt=outcome.attempt, applied=False)
        settled = _write(db, *transitions.settle(run, _job_of(db, run), outcome.result, now, self._rng))
        _end_attempt(db, run, outcome.result, now)
        return Settled(run_id=run.id, attempt=run.attempt, applied=True, run=settled)

    def rescue(self, db: Db, now: datetime, dead: Sequence[str], limit: int) -> list[Run]:
        over = db.execute("SELECT id FROM worker WHERE expires_at <= ?", (now.timestamp(),))
        lost = dict.fromkeys([*dead, *(row[0] for row in over)])
        rescued: list[Run] = []
        for worker_id in lost:
            rescued += self._take_back(db, worker_id, now, limit - len(rescued))
            if len(rescued) >= limit:
                break
            db.execute("DELETE FROM worker WHERE id = ?", (worker_id,))
        return rescued

    def _take_back(self, db: Db, worker_id: str, now: datetime, limit: int) -> list[Run]:
        runs = _held(db, worker_id, limit)
        for run in runs:
            _end_attempt(db, run, None, now)
        return [_write(db, *transitions.rescue(run, now)) for run in runs]

    def leave(self, db: Db, worker_id: str, now: datetime) -> list[Run]:
        result = Returned("the worker left")
        runs = _held(db, worker_id, -1)
        for run in runs:
            _end_attempt(db, run, result, now)
        returned = [_write(db, *transitions.settle(run, _job_of(db, run), result, now, self._rng)) for run in runs]
        db.execute("DELETE FROM worker WHERE id = ?", (worker_id,))
        return returned

    def tick(self, db: Db, now: datetime, limit: int) -> list[Run]:
        due = "SELECT id FROM run_live WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at, id LIMIT ?"
        ids = [row[0] for row in db.execute(due, (now.timestamp(), limit))]
        runs = [_write(db, *transitions.come_due(found(_run(db, run_id), "run", run_id), now)) for run_id in ids]
        due_jobs = "SELECT doc FROM job WHERE next_at <= ? ORDER BY next_at LIMIT ?"
        jobs = many(db, Job, due_jobs, now.timestamp(), limit - len(runs))
        return runs + [run for job in jobs if (run := self._fire(db, job, now))]

    def _fire(self, db: Db, job: Job, now: datetime) -> Run | None:
        """Make the run of a due schedule; what an outage missed is made up for by this one.

        None if the nominal time has had its run: the job was saved again while the clock had stepped back.
        """
        assert job.schedule is not None
        assert job.next_at is not None
        _put_job(db, replace(job, next_at=next_after(job.schedule, job.updated_at, now)))
        nominal = (job.id, job.next_at.timestamp())
        if db.execute("SELECT 1 FROM tick WHERE job_id = ? AND nominal_at = ?", nominal).fetchone():
            return None
        run = self._enqueue(db, NewRun(job_id=job.id, cause=SCHEDULED), now)
        db.execute("INSERT INTO tick VALUES (?, ?, ?)", (*nominal, run.id))
        return run

    def queued_hint(self, db: Db) -> Hint:
        (queued,) = db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM run_live WHERE state = 'queued' LIMIT 1000)"
        ).fetchone()
        (due,) = db.execute(
            "SELECT min(at) FROM (SELECT min(run_at) AS at FROM run_live WHERE state = 'scheduled'"
            " UNION ALL SELECT min(next_at) FROM job)"
        ).fetchone()
        return Hint(queued=queued, due_at=datetime.fromtimestamp(due, UTC) if due is not None else None)


def _refuse_stale(job: Job | None, expected: int | None) -> None:
    if job is not None and expected is not None and job.version != expected:
        raise Conflict(f"the job is at version {job.version}, not {expected} any more", code="stale_version")


def _job(db: Db, job_id: str) -> Job | None:
    return one(db, Job, "SELECT doc FROM job WHERE id = ?", job_id)


def _job_of(db: Db, run: Run) -> Job:
    """The definition that a run was made from."""
    sql = "SELECT doc FROM job_version WHERE job_id = ? AND version = ?"
    return found(one(db, Job, sql, run.job_id, run.job_version), "job version", f"{run.job_id} {run.job_version}")


def _run(db: Db, run_id: str) -> Run | None:
    return one(db, Run, "SELECT doc FROM run WHERE id = ?", run_id)


def _user(db: Db, user_id: str) -> User | None:
    return one(db, User, "SELECT doc FROM user WHERE id = ?", user_id)


def _holder(db: Db, unique_key: str) -> Run | None:
    sql = "SELECT run.doc FROM run_live JOIN run USING (id) WHERE unique_key = ?"
    return one(db, Run, sql, unique_key)


def _held(db: Db, worker_id: str, limit: int) -> list[Run]:
    sql = "SELECT run.doc FROM run_live AS live JOIN run USING (id) WHERE live.worker_id = ? AND live.state = 'running' LIMIT ?"
    return many(db, Run, sql, worker_id, limit)


def _put_job(db: Db, job: Job) -> None:
    next_at = job.next_at.timestamp() if job.next_at else None
    db.execute("INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)", (job.id, job.name, next_at, _encode(job)))


def _put_user(db: Db, user: User) -> User:
    db.execute("INSERT OR REPLACE INTO user VALUES (?, ?, ?)", (user.id, user.name, _encode(user)))
    return user


def _put_worker(db: Db, worker: Worker) -> None:
    values = (worker.id, worker.expires_at.timestamp(), _encode(worker))
    db.execute("INSERT OR REPLACE INTO worker VALUES (?, ?, ?)", values)


def _put_run(db: Db, run: Run) -> None:
    values = (run.id, run.job_id, run.state, run.queue, _encode(run))
    db.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", values)


def _put_attempt(db: Db, attempt: Attempt) -> None:
    db.execute("INSERT OR REPLACE INTO attempt VALUES (?, ?, ?)", (attempt.run_id, attempt.number, _encode(attempt)))


def _end_attempt(db: Db, run: Run, result: Result | None, now: datetime) -> None:
    sql = "SELECT doc FROM attempt WHERE run_id = ? AND number = ?"
    attempt = found(one(db, Attempt, sql, run.id, run.attempt), "attempt", f"{run.id} {run.attempt}")
    _put_attempt(db, transitions.ended(attempt, result, now))


def _write(db: Db, run: Run, event: RunEvent) -> Run:
    """Store one transition: the run, its event, its line among the unfinished, and the counts."""
    before = db.execute("SELECT state FROM run WHERE id = ?", (run.id,)).fetchone()
    _put_run(db, run)
    db.execute("INSERT INTO run_event VALUES (?, ?, ?)", (run.id, run.version, _encode(event)))
    if before is None or before[0] != run.state:
        count = "INSERT INTO run_count VALUES (?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount"
        db.execute(count, (run.state, 1))
        if before is not None:
            db.execute(count, (before[0], -1))
    if run.state.is_final:
        db.execute("DELETE FROM run_live WHERE id = ?", (run.id,))
    else:
        _put_live(db, run)
    return run


def _put_live(db: Db, run: Run) -> None:
    rank_at = run.run_at.timestamp() + run.priority * PRIORITY_STEP_S
    db.execute(
        "INSERT OR REPLACE INTO run_live VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run.id, run.job_id, run.state, rank_at, run.run_at.timestamp(), run.worker_id, run.attempt,
         run.cancel_requested, run.unique_key),
    )  # fmt: skip
