"""
Between records and rows, for all units of the SQLite body: decoding, finding, times.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from etlplus.errors import NotFound
from etlplus.jobs.model import Attempt, Job, Run
from etlplus.jobs.reading import read_job
from etlplus.store.kept import Kept, Told

T = TypeVar("T")
Db = sqlite3.Connection

encode = msgspec.json.Encoder().encode
_runs = msgspec.json.Decoder(Run)
_events = msgspec.json.Decoder(list[Told])
_attempts = msgspec.json.Decoder(Attempt)

KEPT = "doc, attempt, worker_id, claimed_at, revision, slotted"
"""What a line of ``run_live`` is read as; the first columns of a row for ``kept``."""


def decode(kind: type[T], doc: bytes) -> T:
    """A record from its column."""
    return msgspec.json.decode(doc, type=kind)


def kept(row: Any) -> Kept:
    """A line of ``run_live``."""
    claimed_at = moment(row[3]) if row[3] is not None else None
    return Kept(_runs.decode(row[0]), row[1], row[2], claimed_at, row[4], bool(row[5]))


def events(doc: bytes) -> list[Told]:
    """What one row of the history tells."""
    return _events.decode(doc)


def attempt(doc: bytes) -> Attempt:
    """The attempt that a row of the history ends."""
    return _attempts.decode(doc)


def moment(timestamp: float) -> datetime:
    """A time from its column."""
    return datetime.fromtimestamp(timestamp, UTC)


def one(db: Db, kind: type[T], sql: str, *values: Any) -> T | None:
    """The record that a statement finds, or None."""
    row = db.execute(sql, values).fetchone()
    return decode(kind, row[0]) if row else None


def many(db: Db, kind: type[T], sql: str, *values: Any) -> list[T]:
    """All records that a statement finds."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(row[0]) for row in db.execute(sql, values)]


def one_job(db: Db, sql: str, *values: Any) -> Job | None:
    """The job that a statement finds, or None."""
    row = db.execute(sql, values).fetchone()
    return read_job(row[0]) if row else None


def many_jobs(db: Db, sql: str, *values: Any) -> list[Job]:
    """All jobs that a statement finds."""
    return [read_job(row[0]) for row in db.execute(sql, values).fetchall()]


def found(record: T | None, what: str, name: str) -> T:
    """The record, or NotFound."""
    if record is None:
        raise NotFound(f"there is no {what} {name!r}")
    return record


def marks(amount: int) -> str:
    """So many places for values in a list."""
    return ", ".join("?" * amount)
