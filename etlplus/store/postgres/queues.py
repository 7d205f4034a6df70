"""
Queues on PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.queues import COUNTED_MAX, Queue, QueueCounts, QueueDraft, QueueMode, queue_key
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import found
from etlplus.store.postgres.sql import queues as sql
from etlplus.store.refusals import USERS_TOLD, default_stays, in_use

DEFAULT = "default"


async def save_queue(db: Db, draft: QueueDraft, now: datetime) -> Queue:
    queue = _queue(await db.fetchrow(sql.PUT_QUEUE, draft.name, draft.slots, now))
    key = [queue_key(draft.name)]
    if draft.slots is not None:
        await db.execute(sql.ADD_SLOTS, key, draft.slots)
    await db.execute(sql.DROP_SLOTS, key, draft.slots or 0)
    return queue


async def set_queue_mode(db: Db, name: str, mode: QueueMode, now: datetime) -> Queue:
    return _queue(found(await db.fetchrow(sql.SET_MODE, name, mode, now), "queue", name))


async def delete_queue(db: Db, name: str) -> None:
    found(await db.fetchrow(sql.QUEUE_FOR_CHANGE, name), "queue", name)
    if name == DEFAULT:
        raise default_stays()
    use = await db.fetchrow(sql.USE_OF_QUEUE, name, USERS_TOLD + 1)
    if use["has_runs"] or use["jobs"]:
        raise in_use("queue", "queue_in_use", **use)
    await db.execute(sql.DROP_SLOTS, [queue_key(name)], 0)
    await db.execute(sql.DELETE_QUEUE, name)


async def modes(db: Db, names: list[str]) -> dict[str, QueueMode]:
    """What each queue does with its runs at present."""
    return {row["name"]: QueueMode(row["mode"]) for row in await db.fetch(sql.QUEUE_MODES, names)}


async def queues(db: Db) -> list[QueueCounts]:
    rows = await db.fetch(sql.QUEUES, COUNTED_MAX)
    scheduled, running = await _in_state(db, "scheduled"), await _in_state(db, "running")
    return [
        QueueCounts(
            queue=_queue(row),
            queued=row["queued"],
            scheduled=scheduled.get(row["name"], 0),
            running=running.get(row["name"], 0),
            oldest_at=row["oldest_at"],
        )
        for row in rows
    ]


async def _in_state(db: Db, state: str) -> dict[str, int]:
    return {row["queue"]: row["amount"] for row in await db.fetch(sql.IN_STATE, state, COUNTED_MAX)}


def _queue(row: Any) -> Queue:
    return msgspec.convert(dict(row), Queue)
