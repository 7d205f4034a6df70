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
from etlplus.store.postgres.recording import open_lanes
from etlplus.store.postgres.records import columns, kept
from etlplus.store.postgres.sql import definitions as definitions_sql
from etlplus.store.postgres.sql import runs as sql


def some_unread(taken: Taken) -> bool:
    """Whether a claim has taken what cannot be carried out."""
    return not all(each.job.is_whole for each in taken.claimed)


async def set_aside(db: Db, taken: Taken, lines: Sequence[Kept], now: datetime) -> tuple[Taken, list[Kept]]:
    """Set aside what of a claim cannot be read, and give the rest. What somebody has changed since the claim is left in it, and
    ends as an attempt that fails.
    """
    pairs = list(zip(taken.claimed, lines, strict=True))
    unread = {line.run.id: line for claimed, line in pairs if not claimed.job.is_whole}
    fences = columns([(line.run.id, line.attempt, line.revision) for line in unread.values()])
    ids = [row["id"] for row in await db.fetch(sql.UNTAKE, *fences)]
    if ids:
        await move(db, [replace(unread[each].run, labels=(UNREAD,), limit=None, limit_key="") for each in ids], now)
        freed = await db.fetch(sql.FREE_SLOTS, ids)
        await open_lanes(db, {row["key"] for row in freed}, [], now)
    good = [pair for pair in pairs if pair[1].run.id not in ids]
    return replace(taken, claimed=[claimed for claimed, _ in good]), [line for _, line in good]


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
