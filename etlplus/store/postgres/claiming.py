"""
The claim on PostgreSQL.

First a look, without locks, at the lanes that the worker may take from; most looks find nothing. If there is one lane, without
a key or a rate, the same statement takes its runs, and gives them slots if some count there. Otherwise the buckets of their
keys and the free slots are locked, the study chooses how many to take from each lane, and slots and tokens are given to the
runs that were taken. Rows that others have locked are skipped, so claims never wait for each other, but for the bucket of a
rate; slots are rows, so no two runs can hold one. Who skipped slots looks again soon: whoever had locked them may not need them
all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import trio

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
from etlplus.jobs.model import Job
from etlplus.jobs.rates import Bucket, spent
from etlplus.store.contract import Claimed, Taken
from etlplus.store.kept import Kept
from etlplus.store.postgres.bridge import Bridge, Db
from etlplus.store.postgres.bridge import Lane as Connection
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.marks import Mark, Marks
from etlplus.store.postgres.rates import lock_buckets, set_buckets
from etlplus.store.postgres.records import columns, kept
from etlplus.store.postgres.sql import claims as sql

LANES_MAX = 64
"""Lanes with a limit key that one claim looks at: so many that are open, which go to the back of the line, and so many for
which a token has come."""

AGAIN_AFTER = timedelta(seconds=0.02)
"""When to look again if others had locked free slots."""

Free = dict[str, list[int]]


class Haul(NamedTuple):
    """Lines that were taken, best rank first, their jobs, and up to where that went in each lane; the rest as in ``Taken``."""

    lines: list[Kept]
    jobs: list[Job]
    passed: dict[int, Mark]
    held_up: bool
    next_at: datetime | None
    more: bool = False

    @property
    def claimed(self) -> list[Claimed]:
        """The same, as the worker sees it."""
        return [Claimed(line.present, job) for line, job in zip(self.lines, self.jobs, strict=True)]


class Wish(NamedTuple):
    """Who wants the slots of runs that end, for how many others, and of which kind."""

    worker_id: str
    limit: int
    calls: bool


class LaneRow(msgspec.Struct, kw_only=True, gc=False):
    """What a look tells of a lane: the slots of what it counts against, and whether that has a rate. Its ``id`` is zero if there
    is no lane at all. ``keyed``: there are lanes with a limit key, which may be closed.
    """

    id: int
    queue: str
    limit_key: str
    queue_slots: int | None
    key_slots: int | None
    key_paced: bool
    house_slots: int | None
    house_paced: bool
    next_at: datetime | None
    keyed: bool


_looks = msgspec.json.Decoder(list[LaneRow])


class Look(NamedTuple):
    """What a look at the lanes has found."""

    lanes: list[Lane]
    next_at: datetime | None
    keyed: bool


class Claims:
    """The claims of one process, with what they remember."""

    def __init__(self, bridge: Bridge, definitions: Definitions, marks: Marks) -> None:
        self._bridge = bridge
        self._definitions = definitions
        self._marks = marks
        self._plain: set[int] = set()
        self._passing_max: int | None = None

    @property
    def passing_max(self) -> int | None:
        """How many slots should pass at a time, by the limits that the last claim saw; None if it saw none."""
        return self._passing_max

    async def claim(self, worker_id: str, limit: int, now: datetime, calls: bool) -> tuple[Taken, list[Kept]]:
        """What was taken, best rank first: as the worker sees it, and as the store keeps it."""
        began_s, begun = trio.current_time(), self._marks.begin(now)
        marks = self._marked()
        look, haul = await self._bridge.run(
            lambda db: self._look_and_take(db, worker_id, limit, now, calls, marks), Connection.CLAIM, atomic=False
        )
        self._plain |= {each.id for each in look.lanes if not each.key}
        if haul is None:
            haul = await self._bridge.run(lambda db: self._choose(db, worker_id, look, limit, now), Connection.CLAIM)
        self._marks.passed(haul.passed, begun, trio.current_time() - began_s)
        return Taken(haul.claimed, haul.next_at, haul.held_up or look.keyed, haul.more), haul.lines

    async def hand_over(self, wish: Wish, ends: Sequence[Any], shard: int, now: datetime) -> tuple[Any, Haul]:
        """End runs, and take those that get their slots; a single statement.

        Args:
            ends: The ends of runs, as columns.

        Returns:
            What the statement tells of the ends, and what was taken.
        """
        began_s, begun = trio.current_time(), self._marks.begin(now)
        values = (wish.worker_id, now, wish.calls, wish.limit, *self._marked(), *ends, shard)

        async def end_and_take(db: Db) -> tuple[Any, Haul]:
            head, *rows = await db.fetch(sql.HAND_OVER, *values)
            return head, await self._haul(db, rows, held_up=True, moments=())

        head, haul = await self._bridge.run(end_and_take, Connection.SETTLE, atomic=False)
        self._marks.passed(haul.passed, begun, trio.current_time() - began_s)
        return head, haul

    def _marked(self) -> list[Any]:
        """Where to begin in each lane without a key that is known, as columns."""
        return columns([(number, *self._marks.of(number)) for number in self._plain]) or [[], [], []]

    async def _look_and_take(
        self, db: Db, worker_id: str, limit: int, now: datetime, calls: bool, marks: Sequence[Any]
    ) -> tuple[Look, Haul | None]:
        """Look at the lanes; and what was taken, unless there is a choice to make."""
        head, *rows = await db.fetch(sql.LOOK_AND_TAKE, worker_id, now, LANES_MAX, calls, *marks, limit)
        if head["lanes"] is None:
            raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
        found = _looks.decode(head["lanes"])
        look = Look([_lane(each) for each in found if each.id], found[0].next_at, found[0].keyed)
        if len(look.lanes) > 1 or any(each.key or each.paced for each in look.lanes):
            return look, None
        if (wanted := head["wanted"]) is None:  # nothing counts here
            return look, await self._haul(db, rows, False, [look.next_at])
        slots = min(caps(look.lanes).values())
        self._passing_max = slots if slots < sql.HALVED_FROM else (slots + 1) // 2
        bound, locked, free = head["bound"], head["locked"], head["free"]
        skipped = free is not None and locked < min(wanted, free)
        held_up = locked < wanted or wanted == bound < limit
        haul = await self._haul(db, rows, held_up, [look.next_at, now + AGAIN_AFTER if skipped else None])
        return look, haul._replace(more=locked == bound < slots)

    async def _choose(self, db: Db, worker_id: str, look: Look, limit: int, now: datetime) -> Haul:
        """Take runs from several lanes, strictly by rank, as long as their keys have slots and tokens."""
        lanes = look.lanes
        buckets = await lock_buckets(db, paced(lanes), now)
        free, skipped = await _lock_slots(db, caps(lanes), limit)
        left = Left(free, {key: bucket.tokens for key, bucket in buckets.items()})
        rooms = {each: amount for each in lanes if (amount := room(each, left, limit))}
        rows = await self._from(db, worker_id, rooms, left, limit, now)
        if rows and (free or buckets):
            of = {each.id: each for each in lanes}
            rows.sort(key=_rank)
            await _give(db, [(row["id"], of[row["lane"]]) for row in rows], free, buckets)
        waiting = [look.next_at, *await _turn(db, lanes, buckets, now), now + AGAIN_AFTER if skipped else None]
        held_up = any(each.caps and rooms.get(each, 0) < limit for each in lanes)
        return await self._haul(db, rows, held_up, [next_token(lanes, buckets, waiting)])

    async def _haul(self, db: Db, rows: Iterable[Any], held_up: bool, moments: Iterable[datetime | None]) -> Haul:
        ranked = sorted(rows, key=_rank)
        lines = [kept(row) for row in ranked]
        return Haul(
            lines=lines,
            jobs=await self._definitions.of(db, [line.run for line in lines]),
            passed={row["lane"]: _rank(row) for row in ranked},
            held_up=held_up,
            next_at=min(filter(None, moments), default=None),
        )

    async def _from(
        self, db: Db, worker_id: str, rooms: Mapping[Lane, int], left: Left, limit: int, now: datetime
    ) -> list[Any]:
        """Take runs from the heads of lanes that have room."""
        amounts = {each.id: amount for each, amount in rooms.items()}
        if len(rooms) > 1:
            amounts = choose(list(rooms), await self._heads(db, amounts), left, limit)
        if not amounts:
            return []
        chosen = [(each, amounts[each.id]) for each in rooms if each.id in amounts]
        wanted = columns([(each.id, amount, *self._marks.of(each.id), bool(each.caps)) for each, amount in chosen])
        return await db.fetch(sql.TAKE, worker_id, now, *wanted)

    async def _heads(self, db: Db, amounts: Mapping[int, int]) -> dict[int, list[Rank]]:
        wanted = columns([(number, amount, *self._marks.of(number)) for number, amount in amounts.items()])
        heads: dict[int, list[Rank]] = {}
        for row in await db.fetch(sql.CANDIDATES, *wanted):
            heads.setdefault(row["lane"], []).append((row["rank_at"], row["id"]))
        return heads


def _rank(row: Any) -> Mark:
    return row["rank_at"], row["id"]


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


def _lane(each: LaneRow) -> Lane:
    house = Rule(each.house_slots, paced=each.house_paced)
    of_key = Rule(each.key_slots, paced=each.key_paced)
    return lane(each.id, each.queue, each.limit_key, house=house, of_queue=each.queue_slots, of_key=of_key)


async def _lock_slots(db: Db, counting: Mapping[str, int], limit: int) -> tuple[Free, bool]:
    """The free slots of each key, which whoever claims at the same time skips; and whether we have skipped some."""
    if not counting:
        return {}, False
    rows = await db.fetch(sql.LOCK_SLOTS, list(counting), list(counting.values()), limit)
    free = {row["key"]: row["free"][row["excess"] :] for row in rows}
    return free, any(len(row["free"]) < row["seen"] for row in rows)
