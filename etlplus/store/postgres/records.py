"""
Between records and rows, for all units of the PostgreSQL body: decoding, finding, and the ways to write transitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from etlplus.errors import NotFound
from etlplus.jobs.model import Attempt, Job, Run
from etlplus.jobs.reading import read_job
from etlplus.store.kept import Kept, Told
from etlplus.store.postgres.bridge import Db

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_runs = msgspec.json.Decoder(Run)
_events = msgspec.json.Decoder(list[Told])
_attempts = msgspec.json.Decoder(Attempt)


def encode(record: Any) -> str:
    """A record as the text of a json column."""
    return _encoder.encode(record).decode()


def decode(kind: type[T], doc: str) -> T:
    """A record from its column."""
    return msgspec.json.decode(doc, type=kind)


def kept(row: Any) -> Kept:
    """A line of ``run_live``, read as the columns ``KEPT``."""
    run = _runs.decode(row["doc"])
    return Kept(run, row["attempt"], row["worker_id"], row["claimed_at"], row["revision"], row["slotted"])


def events(doc: str) -> list[Told]:
    """What one row of the history tells."""
    return _events.decode(doc)


def attempt(doc: str) -> Attempt:
    """The attempt that a row of the history ends."""
    return _attempts.decode(doc)


async def one(db: Db, kind: type[T], query: str, *values: Any) -> T | None:
    """The record that a statement finds, or None."""
    doc = await db.fetchval(query, *values)
    return None if doc is None else decode(kind, doc)


async def many(db: Db, kind: type[T], query: str, *values: Any) -> list[T]:
    """All records that a statement finds."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(row[0]) for row in await db.fetch(query, *values)]


async def one_job(db: Db, query: str, *values: Any) -> Job | None:
    """The job that a statement finds, or None."""
    doc = await db.fetchval(query, *values)
    return None if doc is None else read_job(doc)


async def many_jobs(db: Db, query: str, *values: Any) -> list[Job]:
    """All jobs that a statement finds."""
    return [read_job(row["doc"]) for row in await db.fetch(query, *values)]


def found(record: T | None, what: str, name: str) -> T:
    """The record, or NotFound."""
    if record is None:
        raise NotFound(f"there is no {what} {name!r}")
    return record


def columns(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Rows, turned into one array for each column; there must be at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]
