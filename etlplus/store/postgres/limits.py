"""
Limits on PostgreSQL: what they are, and the slots and tokens that their keys have.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from etlplus.jobs.queues import HOUSE, Limit, LimitDraft
from etlplus.jobs.rates import Rate
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.rates import change_rate
from etlplus.store.postgres.recording import open_lanes
from etlplus.store.postgres.records import decode, encode, found
from etlplus.store.postgres.sql import queues as sql
from etlplus.store.refusals import USERS_TOLD, in_use


async def save_limit(db: Db, draft: LimitDraft, now: datetime) -> Limit:
    rate = encode(draft.rate) if draft.rate else None
    limit = _limit(await db.fetchrow(sql.PUT_LIMIT, draft.name, draft.slots, now, rate))
    keys = await _keys(db, draft.name)
    await change_rate(db, draft.name, draft.rate, now)
    await db.execute(sql.ADD_SLOTS, keys, draft.slots or 0)
    await db.execute(sql.DROP_SLOTS, keys, draft.slots or 0)
    await open_lanes(db, keys, [], now)
    return limit


async def delete_limit(db: Db, name: str) -> None:
    found(await db.fetchval(sql.LIMIT_FOR_CHANGE, name), "limit", name)
    use = await db.fetchrow(sql.USE_OF_LIMIT, name, USERS_TOLD + 1)
    if use["has_runs"] or use["jobs"]:
        raise in_use("limit", "limit_in_use", **use)
    await db.execute(sql.DROP_BUCKETS, name)
    await db.execute(sql.DROP_SLOTS, await _keys(db, name), 0)
    await db.execute(sql.DELETE_LIMIT, name)


async def limits(db: Db) -> list[Limit]:
    return [_limit(row) for row in await db.fetch(sql.LIMITS)]


async def _keys(db: Db, name: str) -> list[str]:
    return [HOUSE] if name == HOUSE else [row["limit_key"] for row in await db.fetch(sql.KEYS_OF_LIMIT, name)]


def _limit(row: Any) -> Limit:
    rate = decode(Rate, row["rate"]) if row["rate"] else None
    fields: dict[str, Any] = {**row, "rate": rate}
    return Limit(**fields)
