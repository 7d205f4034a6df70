"""
Limits on PostgreSQL: what they are, and the slots that their keys have.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from etlplus.errors import Conflict
from etlplus.jobs.queues import HOUSE, Limit, LimitDraft
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.recording import open_lanes
from etlplus.store.postgres.records import found
from etlplus.store.postgres.sql import queues as sql


async def save_limit(db: Db, draft: LimitDraft, now: datetime) -> Limit:
    limit = _limit(await db.fetchrow(sql.PUT_LIMIT, draft.name, draft.slots, now))
    keys = await _keys(db, draft.name)
    await db.execute(sql.ADD_SLOTS, keys, draft.slots)
    await db.execute(sql.DROP_SLOTS, keys, draft.slots)
    await open_lanes(db, keys, [], now)
    return limit


async def delete_limit(db: Db, name: str) -> None:
    found(await db.fetchval(sql.LIMIT_FOR_CHANGE, name), "limit", name)
    if await db.fetchval(sql.LIMIT_IS_USED, name):
        raise Conflict("unfinished runs count against the limit, or a job names it", code="limit_in_use")
    await db.execute(sql.DROP_SLOTS, await _keys(db, name), 0)
    await db.execute(sql.DELETE_LIMIT, name)


async def limits(db: Db) -> list[Limit]:
    return [_limit(row) for row in await db.fetch(sql.LIMITS)]


async def _keys(db: Db, name: str) -> list[str]:
    return [HOUSE] if name == HOUSE else [row["limit_key"] for row in await db.fetch(sql.KEYS_OF_LIMIT, name)]


def _limit(row: Any) -> Limit:
    return msgspec.convert(dict(row), Limit)
