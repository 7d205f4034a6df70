"""
Dead letters on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from etlplus.jobs.ids import Ids
from etlplus.jobs.letters import DeadLetter, Edit, LetterFilter, Replay
from etlplus.jobs.model import Run
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.enqueueing import enqueue
from etlplus.store.postgres.queues import modes
from etlplus.store.postgres.records import columns, decode, many, many_jobs
from etlplus.store.postgres.sql import definitions
from etlplus.store.postgres.sql import letters as sql
from etlplus.store.replaying import planned


async def letters(db: Db, which: LetterFilter, limit: int, after: str | None, resolved: bool) -> list[DeadLetter]:
    rows = await db.fetch(sql.RESOLVED if resolved else sql.OPEN, *_chosen(which), limit, after)
    return [_letter(row) for row in rows]


async def replay(
    db: Db, ids: Ids, which: LetterFilter, edit: Edit, dry_run: bool, limit: int, now: datetime, shard: int
) -> list[Replay]:
    dead = await many(db, Run, sql.TO_RESOLVE, *_chosen(which), limit)
    wanted = sorted({run.job_id for run in dead})
    jobs = {job.id: job for job in await many_jobs(db, definitions.JOBS_FOR_RUNS, wanted)}
    plan = planned(dead, jobs, await modes(db, sorted({job.queue for job in jobs.values()})), edit)
    wishes = [wish for _, wish in plan if wish is not None]
    if dry_run or not wishes:
        return [told for told, _ in plan]
    runs = {run.replay_of: run for run in await enqueue(db, ids, wishes, now, shard)}
    pairs = [(letter, run.id) for letter, run in runs.items()]
    await db.execute(sql.RESOLVE, "replayed", now, None, *columns(pairs))
    return [replace(told, run=runs.get(told.run_id)) for told, _ in plan]


async def discard(db: Db, which: LetterFilter, reason: str, limit: int, now: datetime) -> list[str]:
    gone = [run.id for run in await many(db, Run, sql.TO_RESOLVE, *_chosen(which), limit)]
    if gone:
        await db.execute(sql.RESOLVE, "discarded", now, reason, gone, [None] * len(gone))
    return gone


def _letter(row: Any) -> DeadLetter:
    fields: dict[str, Any] = dict(row)
    return DeadLetter(run=decode(Run, fields.pop("doc")), **fields)


def _chosen(which: LetterFilter) -> Sequence[Any]:
    return (
        list(which.run_ids) or None, which.job_id, which.queue, which.code, which.failed_from, which.failed_before,
    )  # fmt: skip
