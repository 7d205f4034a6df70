"""
What workers publish for each other's watchers, on PostgreSQL: rows that are not logged, and few of each worker.
"""

from __future__ import annotations

from collections.abc import Mapping

from etlplus.store.contract import Bulletin, Bulletins
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.sql import bulletins as sql

KEPT = 500
"""Of each worker: at twenty a second, for whoever reads once a second, more than enough."""


READ_AT_ONCE = 100


async def publish(db: Db, bulletin: Bulletin) -> None:
    await db.execute(sql.PUBLISH, bulletin.worker_id, bulletin.number, bulletin.body, KEPT)


async def read(db: Db, worker_id: str, after: Mapping[str, int]) -> Bulletins:
    """Who is there is read last: whoever has gone has published nothing since."""
    rows = await db.fetch(sql.BULLETINS, worker_id, list(after), list(after.values()), READ_AT_ONCE)
    others = frozenset(row["id"] for row in await db.fetch(sql.OTHERS, worker_id))
    found = [Bulletin(row["worker_id"], row["number"], row["body"]) for row in rows]
    return Bulletins(found, others, len(rows) == READ_AT_ONCE)


async def numbers(db: Db, worker_id: str) -> dict[str, int]:
    return {row["id"]: row["number"] for row in await db.fetch(sql.NUMBERS, worker_id)}
