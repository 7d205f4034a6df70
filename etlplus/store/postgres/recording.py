"""
The one way in which transitions are written on PostgreSQL, and what else has to happen with them: slots are freed by the
unit that ends an attempt, and lanes with a limit key are opened whenever something comes in or a slot is freed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from etlplus.jobs.model import Run, RunState
from etlplus.jobs.queues import has_lanes
from etlplus.store.kept import Entry, letter_code, told
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import columns, encode
from etlplus.store.postgres.sql import runs as sql


async def record(db: Db, entries: Sequence[Entry], shard: int, now: datetime) -> list[Run]:
    """Write transitions of runs whose lines this unit has locked.

    Args:
        shard: Which row of each tally to add to, so that nodes do not wait for each other there.

    Returns:
        The runs as they are now, in the order given.
    """
    over = [each for each in entries if each.run.state.is_final]
    going_on = [each for each in entries if not each.run.state.is_final]
    lanes: list[int] = []
    keys: set[str] = set()
    if over:
        keys |= (await finish(db, over, shard, now)).freed
    if going_on:
        lanes = [row["lane"] for row in await db.fetch(sql.CHANGE, *columns([_changed(each) for each in going_on]))]
        keys |= await free(db, [each.run.id for each in going_on if each.frees])
    counted = any(each.run.limit_key and each.run.state is RunState.QUEUED for each in going_on)
    await open_lanes(db, keys, lanes if counted else [], now)
    return [each.run for each in entries]


class Finished(NamedTuple):
    """Which runs are over, and which keys have slots that are free now."""

    gone: set[str]
    freed: set[str]


async def finish(db: Db, entries: Sequence[Entry], shard: int, now: datetime) -> Finished:
    """Write the ends of runs whose lines are as ``Entry.kept`` says, the others are left alone; a single statement."""
    return told_of(entries, await db.fetchrow(sql.FINISH, now, *ends(entries), shard))


def told_of(entries: Sequence[Entry], row: Any) -> Finished:
    """What a statement that ends runs tells."""
    gone = {each.run.id for each in entries} if row["gone"] is None else set(row["gone"])
    return Finished(gone, set(row["freed"]))


async def free(db: Db, run_ids: Sequence[str]) -> set[str]:
    """Give back the slots of runs that are not carried any more; the keys that had them."""
    return {row["key"] for row in await db.fetch(sql.FREE_SLOTS, run_ids)} if run_ids else set()


async def open_lanes(db: Db, keys: Iterable[str], lanes: Sequence[int], now: datetime) -> None:
    """Have claims look again at the lanes with these keys, and at these lanes."""
    of_limits = sorted(key for key in keys if has_lanes(key))
    if (of_limits or lanes) and await db.fetch(sql.LOCK_LANES, of_limits, lanes):
        await db.execute(sql.OPEN_LANES, of_limits, lanes, now)


def ends(entries: Sequence[Entry]) -> list[Any]:
    """The ends of runs, as the columns that a statement wants."""
    return columns([_end(each) for each in entries])


def _end(each: Entry) -> tuple[Any, ...]:
    assert each.kept is not None
    attempt, revision = each.kept.attempt, each.kept.revision
    return (
        each.run.id, attempt, revision, each.run.state, each.run.version, encode(each.run), encode(told(each.events)),
        encode(each.ended) if each.ended else None, letter_code(each.run),
    )  # fmt: skip


def _changed(each: Entry) -> tuple[Any, ...]:
    run = each.run
    return (
        run.id, run.state, run.rank_at, run.run_at, run.waits_until, run.attempt, run.cancel_requested, run.version,
        encode(run), encode(told(each.events)), encode(each.ended) if each.ended else None,
    )  # fmt: skip
