"""
The claim on SQLite: the lanes that the worker may take from, the heads of those lanes, the choice, the taking.

Only one unit writes at a time, so what is seen free stays free until it is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs.admission import Lane, Rank, assign, caps, choose, lane, room
from etlplus.store.kept import Kept
from etlplus.store.sqlite.records import KEPT, Db, kept

LANES_MAX = 64
"""Lanes with a limit key that one claim looks at; those it looked at go to the back of the line."""

_ME = "SELECT labels FROM worker WHERE id = ? AND expires_at > ?"
_LANES = """
    SELECT lane.id, lane.queue, lane.labels, lane.limit_key, queue.slots, limit_rule.slots
    FROM lane JOIN queue ON queue.name = lane.queue LEFT JOIN limit_rule ON limit_rule.name = lane.limit_name
    WHERE queue.mode <> 'paused' AND (lane.labels LIKE '!%') = ? AND {condition}
"""
_PLAIN = _LANES.format(condition="lane.limit_key = '' ORDER BY lane.id")
_KEYED = _LANES.format(condition="lane.limit_key <> '' AND lane.open ORDER BY lane.opened_at, lane.id")
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
        opened_at = ?,
        open = EXISTS (SELECT 1 FROM run_live WHERE run_live.lane = lane.id AND state = 'queued')
            AND EXISTS (
                SELECT 1 FROM limit_slot JOIN limit_rule ON limit_rule.name = lane.limit_name
                WHERE limit_slot.key = lane.limit_key AND run_id IS NULL AND slot <= limit_rule.slots
            )
    WHERE id = ?
"""


def claim(db: Db, worker_id: str, limit: int, now: datetime, calls: bool) -> list[Kept]:
    """What was taken, best rank first."""
    me = db.execute(_ME, (worker_id, now.timestamp())).fetchone()
    if me is None:
        raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
    lanes = _lanes(db, set(filter(None, me[0].split(","))), calls)
    lines = _take(db, worker_id, lanes, limit, now)
    db.executemany(_TURN, [(now.timestamp(), each.id) for each in lanes if each.key])
    return lines


def _lanes(db: Db, labels: set[str], calls: bool) -> list[Lane]:
    (house,) = db.execute("SELECT (SELECT slots FROM limit_rule WHERE name = '*')").fetchone()
    plain = list(_open_to(labels, db.execute(_PLAIN, (calls,))))
    keyed = [row for row, _ in zip(_open_to(labels, db.execute(_KEYED, (calls,))), range(LANES_MAX), strict=False)]
    return [
        lane(number, queue, key, house=house, of_queue=of_queue, of_key=of_key)
        for number, queue, _, key, of_queue, of_key in plain + keyed
    ]


def _open_to(labels: set[str], rows: Iterable[Any]) -> Iterable[Any]:
    return (row for row in rows if labels.issuperset(filter(None, row[2].split(","))))


def _take(db: Db, worker_id: str, lanes: Sequence[Lane], limit: int, now: datetime) -> list[Kept]:
    free = {key: _free(db, key, slots, limit) for key, slots in caps(lanes).items()}
    heads = {each.id: _head(db, each.id, room(each, free, limit)) for each in lanes}
    chosen = choose(lanes, heads, free, limit)
    of = {each.id: each for each in lanes}
    taken = sorted((rank, of[number]) for number, amount in chosen.items() for rank in heads[number][:amount])
    moment = now.timestamp()
    db.executemany(_TAKE, [(worker_id, moment, bool(each.caps), rank[1]) for rank, each in taken])
    given = assign([(rank[1], each) for rank, each in taken], free)
    db.executemany(_OCCUPY, [(run_id, key, slot) for key, slot, run_id in given])
    find = f"SELECT {KEPT} FROM run_live WHERE id = ?"
    return [kept(db.execute(find, (rank[1],)).fetchone()) for rank, _ in taken]


def _free(db: Db, key: str, slots: int, limit: int) -> list[int]:
    """The free slots of a key, less those that runs above a lowered limit still hold."""
    (excess,) = db.execute(_EXCESS, (key, slots)).fetchone()
    return [slot for (slot,) in db.execute(_FREE, (key, slots, limit))][excess:]


def _head(db: Db, number: int, amount: int) -> list[Rank]:
    return db.execute(_HEAD, (number, amount)).fetchall() if amount else []
