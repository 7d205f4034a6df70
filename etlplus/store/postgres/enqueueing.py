"""
Making runs on PostgreSQL, one or ten thousand at a time, and cancelling them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from etlplus.errors import Conflict
from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Job, NewRun, Run
from etlplus.store.kept import entry
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.recording import record
from etlplus.store.postgres.records import columns, decode, encode, found, kept, many
from etlplus.store.postgres.sql import definitions
from etlplus.store.postgres.sql import runs as sql
from etlplus.store.refusals import refuse_wishes


async def enqueue(db: Db, ids: Ids, wishes: Sequence[NewRun], now: datetime) -> list[Run]:
    holders = await _holders(db, wishes)
    wanted = sorted({wish.job_id for wish in wishes})
    jobs = {job.id: job for job in await many(db, Job, definitions.JOBS_FOR_RUNS, wanted)}
    refuse_wishes(wishes, jobs, await modes(db, sorted({job.queue for job in jobs.values()})))
    answers: list[Run] = []
    made: list[Run] = []
    for wish in wishes:
        run = holders.get(wish.unique_key) if wish.unique_key is not None else None
        if run is None:
            run, _ = transitions.enqueue(wish, jobs[wish.job_id], ids.new(now), now)
            made.append(run)
            if wish.unique_key is not None:
                holders[wish.unique_key] = run
        answers.append(run)
    await put_runs(db, made, now)
    return answers


async def _holders(db: Db, wishes: Sequence[NewRun]) -> dict[str | None, Run]:
    """Who has the unique keys that are wished for. From here on nobody else can take them."""
    keys = sorted({wish.unique_key for wish in wishes if wish.unique_key is not None})
    if not keys:
        return {}
    await db.execute(sql.LOCK_UNIQUE_KEYS, keys)
    holders = [kept(row).present for row in await db.fetch(sql.UNIQUE_KEY_HOLDERS, keys)]
    return {run.unique_key: run for run in holders}


Place = tuple[str, str, str]


def _place(run: Run) -> Place:
    return run.queue, ",".join(run.labels), run.limit_key


async def put_runs(db: Db, runs: Sequence[Run], now: datetime) -> None:
    """Store runs that were just made, each in its lane."""
    if not runs:
        return
    places = {_place(run): run.limit for run in runs}
    queues, labels, keys = zip(*places, strict=True)
    lanes = {
        (row["queue"], row["labels"], row["limit_key"]): row["id"]
        for row in await db.fetch(sql.PUT_LANES, queues, labels, list(places.values()), keys, now)
    }
    if rules := {key: limit for (_, _, key), limit in places.items() if key}:
        await db.execute(sql.PUT_SLOTS, list(rules), list(rules.values()))
    await db.execute(sql.PUT_RUNS, *columns([_row(run, lanes[_place(run)]) for run in runs]))


def _row(run: Run, lane: int) -> tuple[Any, ...]:
    return (
        run.id, lane, run.job_id, run.state, run.queue, run.rank_at, run.run_at, run.unique_key, encode(run),
    )  # fmt: skip


async def cancel(db: Db, run_id: str, now: datetime, shard: int) -> Run:
    row = await db.fetchrow(sql.LIVE_RUN_FOR_CHANGE, run_id)
    if row is None:
        doc = found(await db.fetchval(sql.FINISHED_RUN, run_id), "run", run_id)
        raise Conflict(f"the run is {decode(Run, doc).state} already", code="run_finished")
    line = kept(row)
    if line.present.cancel_requested:
        return line.present
    (cancelled,) = await record(db, [entry(line, transitions.cancel(line.present, now))], shard, now)
    return cancelled
