"""
What stands between a run and a worker, gathered on PostgreSQL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from etlplus.jobs.explaining import Cap, Pace, Situation
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.queues import COUNTED_MAX, HOUSE, QueueMode, queue_key
from etlplus.store.postgres import reads
from etlplus.store.postgres.aside import fault_of
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.rates import bucket
from etlplus.store.postgres.records import kept
from etlplus.store.postgres.sql import explaining as sql


async def situation(db: Db, run_id: str) -> Situation:
    row = await db.fetchrow(sql.LINE, run_id)
    if row is None:
        return Situation(run=await reads.run(db, run_id))
    line = kept(row)
    run = line.present
    around = await db.fetchrow(sql.AROUND, run.queue, run.limit)
    carrying = {each["worker_id"]: each["amount"] for each in await db.fetch(sql.CARRYING)}
    caps = [
        await _cap(db, "house", HOUSE, around["house_slots"]),
        await _cap(db, "queue", queue_key(run.queue), around["queue_slots"]),
        await _cap(db, "limit", run.limit_key, around["key_slots"]),
    ]
    return Situation(
        run=run,
        fault=await fault_of(db, line),
        claimed_at=line.claimed_at,
        cancel_asked_at=await _cancel_asked_at(db, run),
        mode=QueueMode(around["mode"] or QueueMode.PAUSED),  # a queue that is gone gives nothing
        caps=tuple(cap for cap in caps if cap is not None),
        paces=await _paces(db, run.limit_key),
        workers=tuple(await reads.workers(db)),
        carrying=carrying,
        ahead=await _ahead(db, row["lane"], run),
    )


async def _cap(db: Db, of: Literal["house", "queue", "limit"], key: str, slots: int | None) -> Cap | None:
    if slots is None:
        return None
    holders = tuple(row["run_id"] for row in await db.fetch(sql.HOLDERS, key))
    return Cap(of, key, slots, holders)


async def _cancel_asked_at(db: Db, run: Run) -> datetime | None:
    """When somebody wanted the end of the attempt in hand: nothing has happened to the run since."""
    if run.state is not RunState.RUNNING or not run.cancel_requested:
        return None
    (asked,) = await reads.run_events(db, run.id, run.version - 1, 1)
    return asked.at


async def _paces(db: Db, key: str) -> tuple[Pace, ...]:
    """Only of keys that somebody has used: the others have every token."""
    rows = await db.fetch(sql.BUCKETS, HOUSE, key)
    return tuple(Pace("house" if row["key"] == HOUSE else "limit", row["key"], bucket(row)) for row in rows)


async def _ahead(db: Db, lane: int, run: Run) -> int:
    return await db.fetchval(sql.AHEAD, lane, run.rank_at, run.id, COUNTED_MAX)
