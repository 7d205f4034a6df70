"""
The buckets of limit keys that have a rate, on PostgreSQL. Whoever has locked a bucket alone takes tokens from it, until the
end of the unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from etlplus.jobs.queues import limit_of
from etlplus.jobs.rates import Bucket, Rate, changed, full, full_at, refilled
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import columns, decode, encode
from etlplus.store.postgres.sql import claims as sql
from etlplus.store.postgres.sql import queues


async def lock_buckets(db: Db, keys: Sequence[str], now: datetime) -> dict[str, Bucket]:
    """The buckets of these keys as they are now; those that nobody has used yet are made."""
    if not keys:
        return {}
    found = _by_key(await db.fetch(sql.LOCK_BUCKETS, keys))
    if missing := [key for key in keys if key not in found]:
        await _make(db, missing, now)
        found |= _by_key(await db.fetch(sql.LOCK_BUCKETS, missing))
    return {key: refilled(bucket, now) for key, bucket in found.items()}


async def _make(db: Db, keys: Sequence[str], now: datetime) -> None:
    """Make buckets; while the rules are locked nobody gives their keys another rate, and overlooks these."""
    rows = await db.fetch(sql.LOCK_RATES, sorted({limit_of(key) for key in keys}))
    rates = {row["name"]: decode(Rate, row["rate"]) for row in rows}
    if new := {key: full(rate, now) for key in keys if (rate := rates.get(limit_of(key)))}:
        await db.execute(sql.PUT_BUCKETS, *_columns(new))


async def set_buckets(db: Db, buckets: Mapping[str, Bucket]) -> None:
    """Write buckets that this unit has locked."""
    if buckets:
        await db.execute(sql.SET_BUCKETS, *_columns(buckets))


async def change_rate(db: Db, name: str, rate: Rate | None, now: datetime) -> None:
    """Give a limit's keys another rate, or none; those that wait for a token are looked at anew."""
    if rate is None:
        await db.execute(queues.DROP_BUCKETS, name)
    else:
        buckets = _by_key(await db.fetch(queues.BUCKETS_OF_LIMIT, name))
        await set_buckets(db, {key: changed(bucket, rate, now) for key, bucket in buckets.items()})
    await db.execute(queues.UNPACE_LANES, name)


def bucket(row: Any) -> Bucket:
    """A bucket from its row."""
    return Bucket(decode(Rate, row["rate"]), row["credit"], row["at"])


def _by_key(rows: list[Any]) -> dict[str, Bucket]:
    return {row["key"]: bucket(row) for row in rows}


def _columns(buckets: Mapping[str, Bucket]) -> list[list[Any]]:
    return columns([
        (key, limit_of(key), encode(each.rate), each.credit, each.at, full_at(each)) for key, each in buckets.items()
    ])  # fmt: skip
