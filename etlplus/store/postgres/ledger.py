"""
The tick ledger on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.ticks import Tick
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import columns
from etlplus.store.postgres.sql import schedules as sql


async def put_ticks(db: Db, ticks: Sequence[Tick]) -> set[str]:
    """Write lines; the ids of the runs whose lines are new."""
    if not ticks:
        return set()
    rows = await db.fetch(sql.PUT_TICKS, *columns([_row(each) for each in ticks]))
    return {row["run_id"] for row in rows if row["run_id"] is not None}


async def ticks(db: Db, job_id: str, limit: int, after: tuple[datetime, str] | None) -> list[Tick]:
    at, outcome = after or (None, None)
    return [msgspec.convert(dict(row), Tick) for row in await db.fetch(sql.TICKS, job_id, at, outcome, limit)]


def _row(each: Tick) -> tuple[Any, ...]:
    return (
        each.job_id, each.nominal_at, each.outcome, each.last_at, each.count, each.reason, each.run_id, each.decided_at,
    )  # fmt: skip
