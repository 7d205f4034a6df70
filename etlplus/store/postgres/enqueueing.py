"""
Making runs on PostgreSQL, one or ten thousand at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.jobs.ticks import SCHEDULED
from etlplus.store.granting import Batch
from etlplus.store.kept import Kept
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import columns, decode, encode, kept, many_jobs
from etlplus.store.postgres.sql import definitions
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.refusals import refuse_wishes

KEYS_LOCKED_MAX = 256
"""Unique keys that one call locks one by one. PostgreSQL has room for 64 locks of each of its sessions, unless told otherwise."""


async def enqueue(db: Db, ids: Ids, wishes: Sequence[NewRun], now: datetime, shard: int) -> list[Run]:
    holders = await _holders(db, wishes)
    wanted = sorted({wish.job_id for wish in wishes})
    jobs = {job.id: job for job in await many_jobs(db, definitions.JOBS_FOR_RUNS, wanted)}
    refuse_wishes(wishes, jobs, await modes(db, sorted({job.queue for job in jobs.values()})))
    batch = Batch(jobs, holders, lambda: ids.new(now), now)
    answers = batch.grant(wishes)
    await put_runs(db, batch.made, now)
    if batch.keys:
        await db.execute(sql.PUT_UNIQUE_KEYS, list(batch.keys), list(batch.keys.values()))
    if batch.replaced:
        await move(db, await record(db, batch.replaced, shard, now), now)
    return [batch.runs[run_id] for run_id in answers]


async def _holders(db: Db, wishes: Sequence[NewRun]) -> dict[str, Run | Kept]:
    """Who has the unique keys that are wished for. From here on nobody else can take them."""
    keys = sorted({wish.unique_key for wish in wishes if wish.unique_key is not None})
    if not keys:
        return {}
    if len(keys) > KEYS_LOCKED_MAX:
        await db.execute(sql.LOCK_ALL_UNIQUE_KEYS)
    else:
        await db.execute(sql.LOCK_UNIQUE_KEYS, keys)
    holders: dict[str, Run | Kept] = {row["key"]: kept(row) for row in await db.fetch(sql.UNFINISHED_HOLDERS, keys)}
    finished = {row["key"]: decode(Run, row["doc"]) for row in await db.fetch(sql.FINISHED_HOLDERS, keys)}
    return finished | holders


Place = tuple[str, str, str]


def _place(run: Run) -> Place:
    return run.queue, ",".join(run.labels), run.limit_key


async def put_runs(db: Db, runs: Sequence[Run], now: datetime) -> None:
    """Store runs that were just made, each in its lane."""
    if runs:
        lanes = await _lanes(db, runs, now)
        await db.execute(sql.PUT_RUNS, *columns([_row(run, lanes[_place(run)]) for run in runs]))


async def open_lane(db: Db, job: Job, now: datetime) -> None:
    """Have the lane for runs of a job without a limit, so that its first run can be made like all others."""
    labels = ",".join(job.demands)
    if job.limit is None and not await db.fetch(sql.PLAIN_LANES, [job.queue], [labels]):
        await db.fetch(sql.PUT_LANES, [job.queue], [labels], [None], [""], now)


async def move(db: Db, runs: Sequence[Run], now: datetime) -> None:
    """Put unfinished runs into the lanes where they belong by now."""
    lanes = await _lanes(db, runs, now)
    await db.execute(sql.MOVE_RUNS, *columns([(run.id, lanes[_place(run)]) for run in runs]))


async def _lanes(db: Db, runs: Sequence[Run], now: datetime) -> dict[Place, int]:
    """The lanes of runs, made if need be and open."""
    places = {_place(run): run.limit for run in runs}
    lanes: dict[Place, int] = {}
    if plain := [(queue, labels) for queue, labels, key in places if not key]:
        lanes = _by_place(await db.fetch(sql.PLAIN_LANES, *columns(plain)))
    if missing := {place: limit for place, limit in places.items() if place not in lanes}:
        queues, labels, keys = zip(*missing, strict=True)
        there = await db.fetch(sql.LOCK_PLACES, queues, labels, keys)
        if len(there) < len(missing):
            await db.execute(sql.HOLD_LIMITS, sorted({limit for limit in missing.values() if limit}))
        lanes |= _by_place(await db.fetch(sql.PUT_LANES, queues, labels, list(missing.values()), keys, now))
    if rules := {key: limit for (_, _, key), limit in places.items() if key}:
        await db.execute(sql.PUT_SLOTS, list(rules), list(rules.values()))
    return lanes


def _by_place(rows: list[Any]) -> dict[Place, int]:
    return {(row["queue"], row["labels"], row["limit_key"]): row["id"] for row in rows}


def _row(run: Run, lane: int) -> tuple[Any, ...]:
    return (
        run.id, lane, run.job_id, run.state, run.queue, run.rank_at, run.run_at, run.waits_until,
        run.cause == SCHEDULED, encode(run),
    )  # fmt: skip
