"""
Requests that take effect once, on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from etlplus.errors import Conflict
from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import decode, encode
from etlplus.store.postgres.sql import receipts as sql


async def leave(db: Db, once: Once) -> None:
    """Write the receipt of this unit, or raise Conflict (``already_done``) if the key has one."""
    if not await db.fetchval(sql.LEAVE, *_row(once)):
        raise Conflict(f"the request with the key {once.key!r} was carried out before", code="already_done")


async def name_made(db: Db, once: Once, run_ids: Sequence[str]) -> None:
    """Write into the receipt which runs answer the request."""
    await db.execute(sql.NAME_MADE, once.principal, once.key, run_ids)


async def find(db: Db, once: Once) -> Receipt | None:
    row = await db.fetchrow(sql.FIND, once.principal, once.key, once.at)
    if row is None:
        return None
    answer = None
    if row["status"] is not None:
        answer = Answer(status=row["status"], headers=decode(dict[str, str], row["headers"]), body=row["body"])
    return Receipt(
        route=row["route"], fingerprint=row["fingerprint"], done_at=row["done_at"], made=tuple(row["made"]), answer=answer
    )  # fmt: skip


async def keep_answer(db: Db, once: Once, answer: Answer) -> None:
    await db.execute(sql.KEEP_ANSWER, *_row(once), answer.status, encode(answer.headers), answer.body)


async def forget(db: Db, now: datetime, limit: int) -> int:
    """Remove receipts that have expired, the oldest first; how many."""
    return int((await db.execute(sql.FORGET, now, limit)).split()[-1])


def _row(once: Once) -> tuple[str, str, str, str, datetime, datetime]:
    return once.principal, once.key, once.route, once.fingerprint, once.at, once.expires_at
