"""
Runs whose definition cannot be read, on PostgreSQL: a claim sets them aside, where no claim finds them, and takes the others.

Another program may be able to read what this one cannot, so they are looked at again whenever a node starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from etlplus.jobs.reading import UNREAD
from etlplus.store.contract import Taken
from etlplus.store.kept import Kept
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.definitions import Definitions
from etlplus.store.postgres.enqueueing import move
from etlplus.store.postgres.recording import free, open_lanes
from etlplus.store.postgres.records import columns, kept
from etlplus.store.postgres.sql import definitions as definitions_sql
from etlplus.store.postgres.sql import runs as sql


async def set_aside(db: Db, taken: Taken, lines: Sequence[Kept], now: datetime) -> tuple[Taken, list[Kept]]:
    """What of a claim can be carried out; for the rest, others may be taken at once. A run that somebody has changed since it was
    claimed is left in it, and ends as an attempt that fails.
    """
    pairs = list(zip(taken.claimed, lines, strict=True))
    unread = {line.run.id: line for claimed, line in pairs if not claimed.job.is_whole}
    fences = columns([(each.run.id, each.attempt, each.revision) for each in unread.values()])
    ids = [row["id"] for row in await db.fetch(sql.UNTAKE, *fences)]
    if ids:
        await move(db, [replace(unread[each].run, labels=(UNREAD,), limit=None, limit_key="") for each in ids], now)
        await open_lanes(db, await free(db, ids), [], now)
    good = [pair for pair in pairs if pair[1].run.id not in ids]
    return replace(taken, claimed=[claimed for claimed, _ in good], next_at=now), [line for _, line in good]


async def try_again(db: Db) -> bool:
    """Another program may be able to read what the last one could not: schedules, and what runs were made from. True if any
    run is to be looked at again.
    """
    await db.execute(definitions_sql.TRY_AGAIN)
    runs = [kept(row).run for row in await db.fetch(sql.RUNS_ASIDE, UNREAD)]
    if runs:
        await move(db, runs, min(run.run_at for run in runs))
    return bool(runs)


async def fault_of(db: Db, line: Kept) -> str | None:
    """Why what a run was made from cannot be read, if it cannot."""
    (job,) = await Definitions().of(db, [line.run])
    return None if job.is_whole else job.fault
