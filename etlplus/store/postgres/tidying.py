"""
Retention on PostgreSQL: partitions for the weeks ahead, and whole weeks dropped when they are too old or too much.

What has no week (it was stored before there were weeks, or by a clock far off) is in the default partitions, and is removed
from there run by run. Limit keys that nobody uses any more are forgotten, too, and so are versions of jobs that have no runs
to carry.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from etlplus.jobs.ids import first_id
from etlplus.jobs.retention import Keep, Tidied, idle_since, oldest_kept, week_of, weeks_ahead
from etlplus.store.postgres import ledger, receipts
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.sql import tidying as sql

WEEK = timedelta(weeks=1)
_NAME = "w%Y%m%d"


async def tidy(db: Db, keep: Keep, now: datetime, limit: int, shard: int) -> Tidied:
    if not await db.fetchval(sql.ONE_AT_A_TIME):
        return Tidied()
    await db.execute(sql.WAIT_BRIEFLY)
    weeks = [_begin(row["name"]) for row in await db.fetch(sql.WEEKS)]
    missing = [week for week in weeks_ahead(now) if week not in weeks]
    if missing:
        await db.execute(sql.HOLD_HISTORY)
    for week in missing:
        await _make(db, week)
    dropped, removed = await _drop(db, weeks, keep, now, shard)
    odd = await _remove_odd(db, oldest_kept(keep, now), limit, shard)
    ticks = await ledger.forget(db, keep, now, limit)
    expired = await receipts.forget(db, now, limit)
    versions = await db.fetchval(sql.FORGET_VERSIONS, limit)
    keys = await _forget_keys(db, now)
    return Tidied(
        keys_forgotten=keys,
        ticks_removed=ticks,
        receipts_removed=expired,
        versions_removed=versions,
        runs_removed=removed + odd,
        weeks_made=len(missing),
        weeks_dropped=dropped,
        more=limit in (odd, ticks, expired, versions),
    )


def _begin(name: str) -> datetime:
    return datetime.strptime(name.removeprefix("run_"), _NAME).replace(tzinfo=UTC)


async def _make(db: Db, week: datetime) -> None:
    for table in sql.HISTORY:
        for statement in sql.make_week(table, week.strftime(_NAME), first_id(week), first_id(week + WEEK)):
            await db.execute(statement)


async def _drop(db: Db, weeks: list[datetime], keep: Keep, now: datetime, shard: int) -> tuple[int, int]:
    """Drop the oldest weeks for as long as they are too old or there is too much; never the present one."""
    boundary = oldest_kept(keep, now)
    dropped = removed = 0
    for week in (week for week in weeks if week < week_of(now)):
        too_old = boundary is not None and week + WEEK <= boundary
        too_much = keep.size_bytes is not None and await db.fetchval(sql.SIZE) > keep.size_bytes
        bounds = first_id(week), first_id(week + WEEK)
        if not (too_old or too_much) or await db.fetchval(sql.WEEK_IS_NEEDED, *bounds):
            continue
        removed += await db.fetchval(sql.uncount_week(week.strftime(_NAME)), shard)
        for statement in sql.FORGET_WEEK:
            await db.execute(statement, *bounds)
        for statement in sql.drop_week(week.strftime(_NAME)):
            await db.execute(statement)
        dropped += 1
    return dropped, removed


async def _remove_odd(db: Db, boundary: datetime | None, limit: int, shard: int) -> int:
    if boundary is None:
        return 0
    ids = [row["id"] for row in await db.fetch(sql.TOO_OLD, first_id(boundary), limit)]
    if ids:
        await db.execute(sql.UNCOUNT, ids, shard)
        for statement in sql.FORGET_RUNS:
            await db.execute(statement, ids)
        await db.execute(sql.DELETE_RUNS, ids)
    return len(ids)


async def _forget_keys(db: Db, now: datetime) -> int:
    await db.execute(sql.HOLD_LANES)
    keys = {row["limit_key"] for row in await db.fetch(sql.FORGET_LANES, idle_since(now))}
    await db.execute(sql.FORGET_SLOTS, sorted(keys))
    await db.execute(sql.FORGET_BUCKETS, idle_since(now))
    return len(keys)
