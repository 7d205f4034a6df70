"""
Between records and rows, for all units of the PostgreSQL body: decoding, finding, and the one way to write a transition.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from etlplus.errors import NotFound
from etlplus.jobs.model import PRIORITY_STEP_S, Attempt, Run
from etlplus.jobs.transitions import Change
from etlplus.store.postgres import statements as sql
from etlplus.store.postgres.bridge import Db

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(record: Any) -> str:
    """A record as the text of a json column."""
    return _encoder.encode(record).decode()


def decode(kind: type[T], doc: str) -> T:
    """A record from its column."""
    return msgspec.json.decode(doc, type=kind)


async def one(db: Db, kind: type[T], query: str, *values: Any) -> T | None:
    """The record that a statement finds, or None."""
    doc = await db.fetchval(query, *values)
    return None if doc is None else decode(kind, doc)


async def many(db: Db, kind: type[T], query: str, *values: Any) -> list[T]:
    """All records that a statement finds."""
    decoder = msgspec.json.Decoder(kind)
    return [decoder.decode(row[0]) for row in await db.fetch(query, *values)]


def found(record: T | None, what: str, name: str) -> T:
    """The record, or NotFound."""
    if record is None:
        raise NotFound(f"there is no {what} {name!r}")
    return record


async def record_changes(db: Db, changes: Sequence[Change], shard: int) -> list[Run]:
    """Store transitions in one statement: runs, their events, their lines among the unfinished, and the tallies.

    Args:
        shard: Which row of each tally to add to, so that nodes do not wait for each other there.

    Returns:
        The runs as they are now, in the order given.
    """
    if changes:
        rows = [_row(*change) for change in changes]
        await db.execute(sql.RECORD_CHANGES, *map(list, zip(*rows, strict=True)), shard)
    return [run for run, _ in changes]


def _row(run: Run, event: Any) -> tuple[Any, ...]:
    rank_at = run.run_at + timedelta(seconds=run.priority * PRIORITY_STEP_S)
    return (
        run.id, run.job_id, run.state, run.queue, rank_at, run.run_at, run.worker_id, run.attempt,
        run.cancel_requested, run.unique_key, run.version, encode(run), encode(event), run.state.is_final,
    )  # fmt: skip


async def write_attempts(db: Db, query: str, attempts: Sequence[Attempt]) -> None:
    """Insert begun attempts, or keep how they ended: ``query`` says which."""
    if attempts:
        rows = [(attempt.run_id, attempt.number, encode(attempt)) for attempt in attempts]
        await db.execute(query, *map(list, zip(*rows, strict=True)))
