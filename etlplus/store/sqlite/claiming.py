"""
The claim on SQLite: the lanes that the worker may take from, the heads of those lanes, the choice, the taking.

Only one unit writes at a time, so what is seen free stays free until it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

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
from etlplus.store.kept import Kept
from etlplus.store.sqlite.rates import buckets_of, put_buckets
from etlplus.store.sqlite.records import KEPT, Db, kept, moment

LANES_MAX = 64
"""Lanes with a limit key that one claim looks at: so many that are open, which go to the back of the line, and so many for
which a token has come."""

_ME = "SELECT labels FROM worker WHERE id = ? AND expires_at > ?"
_LANES = """
    SELECT lane.id, lane.queue, lane.labels, lane.limit_key, queue.slots, limit_rule.slots, limit_rule.rate IS NOT NULL
    FROM lane JOIN queue ON queue.name = lane.queue LEFT JOIN limit_rule ON limit_rule.name = lane.limit_name
    WHERE queue.mode <> 'paused' AND (lane.labels LIKE '!%') = ? AND {condition}
"""
_PLAIN = _LANES.format(
    condition="lane.limit_key = '' AND EXISTS (SELECT 1 FROM run_live WHERE state = 'queued' AND lane = lane.id) ORDER BY lane.id"
)
_KEYED = _LANES.format(condition="lane.limit_key <> '' AND lane.open ORDER BY lane.opened_at, lane.id")
_READY = _LANES.format(condition="lane.ready_at <= ? AND NOT lane.open ORDER BY lane.ready_at, lane.id")
_LANES_THAT_WAIT = """
    SELECT count(*) FROM lane JOIN queue ON queue.name = lane.queue
    WHERE lane.limit_key <> '' OR (
        queue.mode <> 'paused' AND EXISTS (SELECT 1 FROM run_live WHERE state = 'queued' AND lane = lane.id)
    )
"""
_HOUSE = "SELECT slots, rate IS NOT NULL FROM limit_rule WHERE name = '*'"
_NEXT = "SELECT min(ready_at) FROM lane WHERE (labels LIKE '!%') = ? AND ready_at > ?"
_ANY_KEYED = "SELECT 1 FROM lane WHERE limit_key <> '' LIMIT 1"
_FREE = "SELECT slot FROM limit_slot WHERE key = ? AND slot <= ? AND run_id IS NULL ORDER BY slot LIMIT ?"
_EXCESS = "SELECT count(*) FROM limit_slot WHERE key = ? AND slot > ? AND run_id IS NOT NULL"
_HEAD = "SELECT rank_at, id FROM run_live WHERE state = 'queued' AND lane = ? ORDER BY rank_at, id LIMIT ?"
_TAKE = """
    UPDATE run_live SET state = 'running', worker_id = ?, attempt = attempt + 1, claimed_at = ?, slotted = ?
    WHERE id = ?
"""
_OCCUPY = "UPDATE limit_slot SET run_id = ? WHERE key = ? AND slot = ?"
_TURN = """
    UPDATE lane SET
        opened_at = :now,
        ready_at = iif(EXISTS (SELECT 1 FROM run_live WHERE run_live.lane = lane.id AND state = 'queued'), :ready_at, NULL),
        open = :ready_at IS NULL
            AND EXISTS (SELECT 1 FROM run_live WHERE run_live.lane = lane.id AND state = 'queued')
            AND EXISTS (
                SELECT 1 FROM limit_rule WHERE name = lane.limit_name AND (
                    slots IS NULL OR EXISTS (
                        SELECT 1 FROM limit_slot
                        WHERE key = lane.limit_key AND run_id IS NULL AND slot <= limit_rule.slots
                    )
                )
            )
    WHERE id = :id RETURNING ready_at
"""


class Haul(NamedTuple):
    """Lines that were taken, best rank first; the rest as in ``Taken``."""

    lines: list[Kept]
    next_at: datetime | None
    held_up: bool


def claim(db: Db, worker_id: str, limit: int, now: datetime, calls: bool) -> Haul:
    """Take what may be taken."""
    me = db.execute(_ME, (worker_id, now.timestamp())).fetchone()
    if me is None:
        raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
    lanes = _lanes(db, set(filter(None, me[0].split(","))), calls, now)
    (next_at,) = db.execute(_NEXT, (calls, now.timestamp())).fetchone()
    buckets = buckets_of(db, paced(lanes), now)
    lines, held_up = _take(db, worker_id, lanes, limit, now, buckets)
    waiting = [moment(at) for at in (next_at, *_turn(db, lanes, buckets, now)) if at is not None]
    return Haul(lines, next_token(lanes, buckets, waiting), bool(held_up or db.execute(_ANY_KEYED).fetchone()))


def may_hand_over(db: Db, worker_id: str, now: datetime) -> bool:
    """Whether slots may go from one run to the next: the worker has a lease, and runs wait in one lane at most, without a key."""
    me = db.execute(_ME, (worker_id, now.timestamp())).fetchone()
    return me is not None and db.execute(_LANES_THAT_WAIT).fetchone()[0] <= 1 and not db.execute(_ANY_KEYED).fetchone()


def _turn(db: Db, lanes: Sequence[Lane], buckets: Mapping[str, Bucket], now: datetime) -> list[float | None]:
    """Have the next claim look at other lanes with a key first; when those that lack a token have one."""
    turned = [(each.id, ready_at(each, buckets)) for each in lanes if each.key]
    values = [{"id": number, "now": now.timestamp(), "ready_at": at and at.timestamp()} for number, at in turned]
    return [db.execute(_TURN, each).fetchone()[0] for each in values]


def _lanes(db: Db, labels: set[str], calls: bool, now: datetime) -> list[Lane]:
    house = _rule(*db.execute(_HOUSE).fetchone() or (None, False))
    plain = list(_open_to(labels, db.execute(_PLAIN, (calls,))))
    keyed = islice(_open_to(labels, db.execute(_KEYED, (calls,))), LANES_MAX)
    ready = islice(_open_to(labels, db.execute(_READY, (calls, now.timestamp()))), LANES_MAX)
    return [
        lane(number, queue, key, house=house, of_queue=of_queue, of_key=_rule(slots, has_rate))
        for number, queue, _, key, of_queue, slots, has_rate in [*plain, *keyed, *ready]
    ]


def _rule(slots: int | None, has_rate: int | None) -> Rule:
    return Rule(slots, paced=bool(has_rate))


def _open_to(labels: set[str], rows: Iterable[Any]) -> Iterable[Any]:
    return (row for row in rows if labels.issuperset(filter(None, row[2].split(","))))


def _take(
    db: Db, worker_id: str, lanes: Sequence[Lane], limit: int, now: datetime, buckets: dict[str, Bucket]
) -> tuple[list[Kept], bool]:
    """Take runs, and tell whether others wait for slots; ``buckets`` are afterwards as they were left."""
    free = {key: _free(db, key, slots, limit) for key, slots in caps(lanes).items()}
    left = Left(free, {key: bucket.tokens for key, bucket in buckets.items()})
    rooms = {each: room(each, left, limit) for each in lanes}
    heads = {each.id: _head(db, each.id, amount) for each, amount in rooms.items()}
    chosen = choose(lanes, heads, left, limit)
    of = {each.id: each for each in lanes}
    taken = sorted((rank, of[number]) for number, amount in chosen.items() for rank in heads[number][:amount])
    db.executemany(_TAKE, [(worker_id, now.timestamp(), bool(each.caps), rank[1]) for rank, each in taken])
    given = assign([(rank[1], each) for rank, each in taken], free)
    db.executemany(_OCCUPY, [(run_id, key, slot) for key, slot, run_id in given])
    left_over = {key: spent(buckets[key], amount) for key, amount in used(each for _, each in taken).items()}
    put_buckets(db, left_over)
    buckets |= left_over
    find = f"SELECT {KEPT} FROM run_live WHERE id = ?"
    held_up = any(each.caps and len(heads[each.id]) == amount < limit for each, amount in rooms.items())
    return [kept(db.execute(find, (rank[1],)).fetchone()) for rank, _ in taken], held_up


def _free(db: Db, key: str, slots: int, limit: int) -> list[int]:
    """The free slots of a key, less those that runs above a lowered limit still hold."""
    (excess,) = db.execute(_EXCESS, (key, slots)).fetchone()
    return [slot for (slot,) in db.execute(_FREE, (key, slots, limit))][excess:]


def _head(db: Db, number: int, amount: int) -> list[Rank]:
    return db.execute(_HEAD, (number, amount)).fetchall() if amount else []
