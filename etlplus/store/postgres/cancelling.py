"""
Cancelling runs on PostgreSQL: one that a person names, many that are found by what they are, or all that schedules have made
and that are unfinished.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs import transitions
from etlplus.jobs.ids import first_id
from etlplus.jobs.model import Run, RunState
from etlplus.store.contract import Unfinished
from etlplus.store.kept import entry
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import decode, found, kept
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.postgres.sql import schedules
from etlplus.store.postgres.turns import release


async def cancel(db: Db, run_id: str, now: datetime, shard: int) -> list[Run]:
    """The run as it is now, and after it the one that goes on in its place, if any."""
    await db.fetch(schedules.LOCK_JOBS_OF_RUNS, [run_id])
    row = await db.fetchrow(sql.LIVE_RUN_FOR_CHANGE, run_id)
    if row is None:
        doc = found(await db.fetchval(sql.FINISHED_RUN, run_id), "run", run_id)
        raise Conflict(f"the run is {decode(Run, doc).state} already", code="run_finished")
    line = kept(row)
    if line.present.cancel_requested:
        return [line.present]
    cancelled = entry(line, transitions.cancel(line.present, now))
    return await record(db, [cancelled], shard, now) + await release(db, [cancelled], shard, now)


async def cancel_many(
    db: Db, run_ids: Sequence[str], states: Sequence[RunState], now: datetime, shard: int
) -> tuple[list[Run], list[Run]]:
    """Of these runs, those that are unfinished and in one of these states, as they are now; and those that go on instead."""
    await db.fetch(schedules.LOCK_JOBS_OF_RUNS, run_ids)
    lines = [kept(row) for row in await db.fetch(sql.LIVE_RUNS_TO_CANCEL, run_ids)]
    meant = [line for line in lines if not states or line.present.state in states]
    cancelled = [entry(line, transitions.cancel(line.present, now)) for line in meant]
    return await record(db, cancelled, shard, now), await release(db, cancelled, shard, now)


async def to_cancel(db: Db, which: Unfinished, limit: int, after: str | None) -> list[str]:
    """The ids of the runs that are meant, newest first; only looked at, so that a long search is in nobody's way."""
    return [row["id"] for row in await db.fetch(sql.TO_CANCEL, *_chosen(which), after, limit)]


async def unfinished(db: Db, which: Unfinished) -> dict[RunState, int]:
    return {RunState(row["state"]): row["amount"] for row in await db.fetch(sql.UNFINISHED, *_chosen(which))}


def _chosen(which: Unfinished) -> Sequence[Any]:
    return (
        list(which.states) or None, which.job_id, which.queue, which.limit_key,
        first_id(which.made_before) if which.made_before else None,
    )  # fmt: skip


async def cancel_scheduled(db: Db, job_ids: Sequence[str], now: datetime, shard: int) -> list[Run]:
    """Cancel what schedules have made: what waits at once, what runs by asking its worker. The jobs' rows are locked."""
    lines = [kept(row) for row in await db.fetch(schedules.OF_SCHEDULES, job_ids)]
    return await record(db, [entry(line, transitions.cancel(line.present, now)) for line in lines], shard, now)
