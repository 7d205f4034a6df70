"""
The claim on PostgreSQL.

First the lanes that the worker may take from, then the runs at their heads. As long as no limit stands in the way, that is all:
one statement locks, takes and returns the runs. Where limits count, the buckets of their keys and the free slots are locked
before, the study chooses how many to take from each lane, and slots and tokens are given to the runs that were taken. Rows
that others have locked are skipped, so claims never wait for each other, but for the bucket of a rate; slots are rows, so no
two runs can hold one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs.admission import (
    Lane,
    Left,
    Rank,
    Rule,
    assign,
    caps,
    choose,
    lane,
    next_token,
    paced,
    ready_at,
    room,
    used,
)
from etlplus.jobs.rates import Bucket, spent
from etlplus.store.contract import Claimed, Taken
from etlplus.store.kept import Kept
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.marks import Marks
from etlplus.store.postgres.rates import lock_buckets, set_buckets
from etlplus.store.postgres.records import columns, kept
from etlplus.store.postgres.sql import claims as sql

LANES_MAX = 64
"""Lanes with a limit key that one claim looks at: so many that are open, which go to the back of the line, and so many for
which a token has come."""

Free = dict[str, list[int]]


class Claims:
    """The claims of one process, with what they remember."""

    def __init__(self, definitions: Definitions, marks: Marks) -> None:
        self._definitions = definitions
        self._marks = marks

    async def claim(self, db: Db, worker_id: str, limit: int, now: datetime, calls: bool) -> tuple[Taken, list[Kept]]:
        """What was taken, best rank first: as the worker sees it, and as the store keeps it."""
        rows = await db.fetch(sql.LANES, worker_id, now, LANES_MAX, calls)
        if not rows:
            raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
        lanes = [_lane(row) for row in rows if row["id"] is not None]
        self._marks.begin(now)
        buckets = await lock_buckets(db, paced(lanes), now)
        lines = await self._from(db, worker_id, lanes, limit, now, buckets)
        waiting = [rows[0]["next_at"], *await _turn(db, lanes, buckets, now)]
        jobs = await self._definitions.of(db, [line.run for line in lines])
        claimed = [Claimed(line.present, job) for line, job in zip(lines, jobs, strict=True)]
        return Taken(claimed, next_token(lanes, buckets, waiting)), lines

    async def _from(
        self, db: Db, worker_id: str, lanes: Sequence[Lane], limit: int, now: datetime, buckets: dict[str, Bucket]
    ) -> list[Kept]:
        """Take runs; ``buckets`` are afterwards as they were left."""
        free = await _lock_slots(db, caps(lanes), limit)
        left = Left(free, {key: bucket.tokens for key, bucket in buckets.items()})
        rooms = {each: amount for each in lanes if (amount := room(each, left, limit))}
        amounts = {each.id: amount for each, amount in rooms.items()}
        if len(rooms) > 1:
            amounts = choose(list(rooms), await self._heads(db, amounts), left, limit)
        if not amounts:
            return []
        chosen = [(each, amounts[each.id]) for each in rooms if each.id in amounts]
        wanted = columns([(each.id, amount, *self._marks.of(each.id), bool(each.caps)) for each, amount in chosen])
        rows = await db.fetch(sql.TAKE, worker_id, now, *wanted)
        rows.sort(key=lambda row: (row["rank_at"], row["id"]))
        self._marks.passed({row["lane"]: (row["rank_at"], row["id"]) for row in rows})
        if rows and (free or buckets):
            of = {each.id: each for each in lanes}
            await _give(db, [(row["id"], of[row["lane"]]) for row in rows], free, buckets)
        return [kept(row) for row in rows]

    async def _heads(self, db: Db, amounts: Mapping[int, int]) -> dict[int, list[Rank]]:
        wanted = columns([(number, amount, *self._marks.of(number)) for number, amount in amounts.items()])
        heads: dict[int, list[Rank]] = {}
        for row in await db.fetch(sql.CANDIDATES, *wanted):
            heads.setdefault(row["lane"], []).append((row["rank_at"], row["id"]))
        return heads


async def _give(db: Db, taken: Sequence[tuple[str, Lane]], free: Free, buckets: dict[str, Bucket]) -> None:
    """Give runs that were taken the slots and the tokens of the keys that they count against."""
    if given := assign(taken, free):
        await db.execute(sql.OCCUPY, *columns(given))
    left_over = {key: spent(buckets[key], tokens) for key, tokens in used(each for _, each in taken).items()}
    await set_buckets(db, left_over)
    buckets |= left_over


async def _turn(db: Db, lanes: Sequence[Lane], buckets: Mapping[str, Bucket], now: datetime) -> list[datetime | None]:
    """Have the next claim look at other lanes with a key first; when those that lack a token have one."""
    turned = [(each.id, ready_at(each, buckets)) for each in lanes if each.key]
    if not turned:
        return []
    ids, moments = columns(turned)
    await db.execute(sql.LOCK_LANES, ids)
    return [row["ready_at"] for row in await db.fetch(sql.TURN_LANES, ids, moments, now)]


def _lane(row: Any) -> Lane:
    house = Rule(row["house_slots"], paced=row["house_paced"])
    of_key = Rule(row["key_slots"], paced=row["key_paced"])
    return lane(row["id"], row["queue"], row["limit_key"], house=house, of_queue=row["queue_slots"], of_key=of_key)


async def _lock_slots(db: Db, counting: Mapping[str, int], limit: int) -> Free:
    """The free slots of each key; whoever claims at the same time does not see them."""
    if not counting:
        return {}
    free: Free = {}
    excess: dict[str, int] = {}
    for row in await db.fetch(sql.LOCK_SLOTS, list(counting), list(counting.values()), limit):
        free.setdefault(row["key"], []).append(row["slot"])
        excess[row["key"]] = row["excess"]
    return {key: slots[excess[key] :] for key, slots in free.items()}
