"""
The logs of attempts on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from etlplus.jobs.logs import LogLine, LogState, NewLine, fitted
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import columns
from etlplus.store.postgres.sql import logs as sql


async def append(db: Db, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine]) -> LogState | None:
    if await db.fetchval(sql.HOLDS, run_id, attempt, worker_id) is None:
        return None
    kept, after = fitted(lines, await state(db, run_id, attempt))
    if kept:
        rows = columns([(line.number, line.at, line.level, line.text) for line in kept])
        await db.execute(sql.PUT_LINES, run_id, attempt, *rows)
    await db.execute(sql.PUT_STATE, run_id, attempt, after.lines, after.kept_bytes, after.dropped)
    return after


async def state(db: Db, run_id: str, attempt: int) -> LogState:
    row: Any = await db.fetchrow(sql.STATE, run_id, attempt)
    return LogState(*row) if row is not None else LogState()


async def read(db: Db, run_id: str, attempt: int, after: int, search: str | None, limit: int) -> list[LogLine]:
    return _lines(await db.fetch(sql.LINES, run_id, attempt, after, search, limit))


async def tail(db: Db, run_id: str, attempt: int, limit: int) -> list[LogLine]:
    return _lines(await db.fetch(sql.TAIL, run_id, attempt, limit))


def _lines(rows: list[Any]) -> list[LogLine]:
    return [msgspec.convert(dict(row), LogLine) for row in rows]
