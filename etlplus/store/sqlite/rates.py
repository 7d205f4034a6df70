"""
The buckets of limit keys that have a rate, on SQLite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from etlplus.jobs.queues import limit_of
from etlplus.jobs.rates import Bucket, Rate, changed, full, full_at, refilled
from etlplus.store.sqlite.records import Db, decode, encode, moment

_FIND = "SELECT rate, credit, at FROM limit_bucket WHERE key = ?"
_RATE = "SELECT rate FROM limit_rule WHERE name = ?"
_PUT = "INSERT OR REPLACE INTO limit_bucket (key, limit_name, rate, credit, at, full_at) VALUES (?, ?, ?, ?, ?, ?)"


def buckets_of(db: Db, keys: Sequence[str], now: datetime) -> dict[str, Bucket]:
    """The buckets of these keys, which have a rate, as they are now; one that nobody has used yet is full."""
    return {key: refilled(bucket(db, key) or _new(db, key, now), now) for key in keys}


def bucket(db: Db, key: str) -> Bucket | None:
    """The bucket of a key as it was left; None if it was never used."""
    row = db.execute(_FIND, (key,)).fetchone()
    return Bucket(decode(Rate, row[0]), row[1], moment(row[2])) if row is not None else None


def _new(db: Db, key: str, now: datetime) -> Bucket:
    (rate,) = db.execute(_RATE, (limit_of(key),)).fetchone()
    return full(decode(Rate, rate), now)


def put_buckets(db: Db, buckets: Mapping[str, Bucket]) -> None:
    rows = [
        (key, limit_of(key), encode(each.rate), each.credit, each.at.timestamp(), full_at(each).timestamp())
        for key, each in buckets.items()
    ]
    db.executemany(_PUT, rows)


def change_rate(db: Db, name: str, rate: Rate | None, now: datetime) -> None:
    """Give a limit's keys another rate, or none; those that wait for a token are looked at anew."""
    if rate is None:
        db.execute("DELETE FROM limit_bucket WHERE limit_name = ?", (name,))
    else:
        rows = db.execute("SELECT key, rate, credit, at FROM limit_bucket WHERE limit_name = ?", (name,)).fetchall()
        found = {key: Bucket(decode(Rate, doc), credit, moment(at)) for key, doc, credit, at in rows}
        put_buckets(db, {key: changed(each, rate, now) for key, each in found.items()})
    db.execute("UPDATE lane SET ready_at = NULL WHERE limit_name = ?", (name,))
