"""
What workers do, on PostgreSQL: one coroutine per unit, in asyncio's flavor, within one transaction.

The rows of unfinished runs are locked before they are judged, so of an acknowledgement, a rescue and a cancellation that
come at once, each sees what the one before it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from msgspec.structs import replace

from etlplus.errors import Conflict
from etlplus.jobs import transitions
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Attempt, Job, NewRun, Run, RunState, Worker
from etlplus.jobs.outcome import Returned
from etlplus.jobs.schedule import next_after
from etlplus.store.contract import Beat, Claimed, Hint, Outcome, Settled
from etlplus.store.postgres import statements as sql
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.records import decode, encode, many, one, record_changes, write_attempts

SCHEDULED = "schedule"
ALL = 2**31 - 1


class Leases:
    """The units of the lease half, with the ids and the randomness they need and the shard they tally in."""

    def __init__(self, ids: Ids, rng: Random, shard: int) -> None:
        self._ids = ids
        self._rng = rng
        self._shard = shard

    async def join(self, db: Db, worker: Worker) -> None:
        values = (worker.id, worker.node, worker.pid, worker.boot_id, worker.started_at, worker.beat_at)
        await db.execute(sql.PUT_WORKER, *values, worker.expires_at, worker.slots)

    async def beat(self, db: Db, worker_id: str, now: datetime, expires_at: datetime) -> Beat:
        row = await db.fetchrow(sql.BEAT, worker_id, now, expires_at)
        return Beat(alive=True, cancel=tuple(row["cancel"])) if row["alive"] else Beat(alive=False)

    async def claim(self, db: Db, worker_id: str, limit: int, now: datetime) -> list[Claimed]:
        rows = await db.fetch(sql.CLAIM, worker_id, now, limit)
        if not rows[0]["alive"]:
            raise Conflict("the worker has not joined, or its lease is over", code="lease_lost")
        rows = [row for row in rows if row["run"] is not None]
        changes = [transitions.claim(decode(Run, row["run"]), worker_id, now) for row in rows]
        runs = await record_changes(db, changes, self._shard)
        await write_attempts(db, sql.PUT_ATTEMPTS, [transitions.begun(run, worker_id, now) for run in runs])
        return [Claimed(run, decode(Job, row["job"])) for run, row in zip(runs, rows, strict=True)]

    async def freeze(self, db: Db, run_id: str, attempt: int, bounds: Mapping[str, Any]) -> bool:
        run = await one(db, Run, sql.LIVE_RUN_FOR_CHANGE, run_id)
        if run is None or run.state is not RunState.RUNNING or run.attempt != attempt or run.bounds is not None:
            return False
        await db.execute(sql.KEEP_BOUNDS, run_id, encode(replace(run, bounds=dict(bounds))))
        return True

    async def acknowledge(self, db: Db, outcomes: Sequence[Outcome], now: datetime) -> list[Settled]:
        held = await _held(db, sql.HELD_RUNS, sorted({outcome.run_id for outcome in outcomes}))
        changes: list[transitions.Change] = []
        ended: list[Attempt] = []
        answers: list[Settled] = []
        for outcome in outcomes:
            holding = held.get((outcome.run_id, outcome.attempt, outcome.worker_id))
            settled = None
            if holding is not None:
                del held[outcome.run_id, outcome.attempt, outcome.worker_id]  # told twice, the second is stale
                run, attempt, job = holding
                changes.append(transitions.settle(run, job, outcome.result, now, self._rng))
                ended.append(transitions.ended(attempt, outcome.result, now))
                settled = changes[-1][0]
            answer = Settled(run_id=outcome.run_id, attempt=outcome.attempt, applied=settled is not None, run=settled)
            answers.append(answer)
        await self._settle(db, changes, ended)
        if stale := len(outcomes) - len(changes):
            await db.execute(sql.ADD_STALE, self._shard, stale)
        return answers

    async def rescue(self, db: Db, now: datetime, dead: Sequence[str], limit: int) -> list[Run]:
        expired = [row["id"] for row in await db.fetch(sql.WORKERS_LOST, now, list(dead))]
        lost = sorted({*expired, *dead})
        held = await _held(db, sql.HELD_BY_WORKERS, lost, limit)
        changes = [transitions.rescue(run, now) for run, _, _ in held.values()]
        rescued = await self._settle(
            db, changes, [transitions.ended(attempt, None, now) for _, attempt, _ in held.values()]
        )
        await db.execute(sql.FORGET_WORKERS, lost)
        return rescued

    async def leave(self, db: Db, worker_id: str, now: datetime) -> list[Run]:
        await db.execute(sql.LOCK_WORKER, worker_id)
        result = Returned("the worker left")
        held = await _held(db, sql.HELD_BY_WORKERS, [worker_id], ALL)
        changes = [transitions.settle(run, job, result, now, self._rng) for run, _, job in held.values()]
        returned = await self._settle(
            db, changes, [transitions.ended(attempt, result, now) for _, attempt, _ in held.values()]
        )
        await db.execute(sql.FORGET_WORKERS, [worker_id])
        return returned

    async def _settle(self, db: Db, changes: Sequence[transitions.Change], ended: Sequence[Attempt]) -> list[Run]:
        await write_attempts(db, sql.END_ATTEMPTS, ended)
        return await record_changes(db, changes, self._shard)

    async def tick(self, db: Db, now: datetime, limit: int) -> list[Run]:
        jobs = await many(db, Job, sql.JOBS_DUE, now, limit)
        runs = await many(db, Run, sql.RUNS_DUE, now, limit - len(jobs))
        changes = [transitions.come_due(run, now) for run in runs]
        return await record_changes(db, [*changes, *await self._fire(db, jobs, now)], self._shard)

    async def _fire(self, db: Db, jobs: Sequence[Job], now: datetime) -> list[transitions.Change]:
        """The runs of due schedules: one for each nominal time ever, and one for all that an outage missed."""
        if not jobs:
            return []
        wishes = [NewRun(job_id=job.id, cause=SCHEDULED) for job in jobs]
        fired = {
            job.id: transitions.enqueue(wish, job, self._ids.new(now), now)
            for job, wish in zip(jobs, wishes, strict=True)
        }
        ticks = [(job.id, job.next_at, fired[job.id][0].id) for job in jobs]
        new = await db.fetch(sql.PUT_TICKS, *map(list, zip(*ticks, strict=True)))
        moved = [
            replace(job, next_at=next_after(job.schedule, job.updated_at, now))
            for job in jobs
            if job.schedule is not None
        ]
        rows = [(job.id, job.next_at, encode(job)) for job in moved]
        await db.execute(sql.MOVE_JOBS_ON, *map(list, zip(*rows, strict=True)))
        return [fired[row["job_id"]] for row in new]

    async def queued_hint(self, db: Db) -> Hint:
        row = await db.fetchrow(sql.HINT)
        return Hint(queued=row["queued"], due_at=row["due_at"])


Held = dict[tuple[str, int, str | None], tuple[Run, Attempt, Job]]


async def _held(db: Db, query: str, *values: Any) -> Held:
    """The runs that are being carried, by run, attempt and worker, each with its attempt and definition; locked."""
    rows = await db.fetch(query, *values)
    triples = [(decode(Run, row["run"]), decode(Attempt, row["attempt"]), decode(Job, row["job"])) for row in rows]
    return {(run.id, run.attempt, run.worker_id): (run, attempt, job) for run, attempt, job in triples}
