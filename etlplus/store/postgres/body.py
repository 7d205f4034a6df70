"""
The PostgreSQL body of the store: each call is one unit that crosses the bridge once, on the lane that fits it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from random import Random
from typing import Any, TypeVar

from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Attempt, Job, JobDraft, NewRun, Run, RunEvent, User, UserDraft, Worker
from etlplus.store.contract import Beat, Claimed, Counts, Hint, Outcome, RunFilter, Settled, Statistics
from etlplus.store.postgres import reads, schema
from etlplus.store.postgres import statements as sql
from etlplus.store.postgres.bridge import Bridge, Lane, Unit, open_bridge
from etlplus.store.postgres.leases import Leases
from etlplus.store.postgres.writes import Writes

T = TypeVar("T")

SHARDS = 16
"""Rows per tally; each node adds to one of them."""


class PostgresStore:
    """See ``etlplus.store.contract.Store``."""

    def __init__(self, bridge: Bridge, rng: Random) -> None:
        self._bridge = bridge
        ids, shard = Ids(rng), rng.randrange(SHARDS)
        self._writes = Writes(ids, rng, shard)
        self._leases = Leases(ids, rng, shard)

    async def _look(self, unit: Unit[T]) -> T:
        return await self._bridge.run(unit, atomic=False)

    async def save_job(
        self, draft: JobDraft, *, now: datetime, job_id: str | None = None, expected_version: int | None = None
    ) -> Job:
        return await self._bridge.run(lambda db: self._writes.save_job(db, draft, now, job_id, expected_version))

    async def delete_job(self, job_id: str, *, now: datetime, expected_version: int | None = None) -> None:
        await self._bridge.run(lambda db: self._writes.delete_job(db, job_id, expected_version))

    async def enqueue(self, runs: Sequence[NewRun], *, now: datetime) -> list[Run]:
        return await self._bridge.run(lambda db: self._writes.enqueue(db, runs, now))

    async def cancel(self, run_id: str, *, now: datetime) -> Run:
        return await self._bridge.run(lambda db: self._writes.cancel(db, run_id, now))

    async def save_user(self, draft: UserDraft, *, now: datetime, user_id: str | None = None) -> User:
        return await self._bridge.run(lambda db: self._writes.save_user(db, draft, now, user_id))

    async def claim_bootstrap(self, draft: UserDraft, *, now: datetime) -> User:
        return await self._bridge.run(lambda db: self._writes.claim_bootstrap(db, draft, now))

    async def bump_epoch(self, user_id: str) -> User:
        return await self._bridge.run(lambda db: self._writes.bump_epoch(db, user_id))

    async def job(self, job_id: str) -> Job:
        return await self._look(lambda db: reads.job(db, job_id))

    async def job_named(self, name: str) -> Job | None:
        return await self._look(lambda db: reads.job_named(db, name))

    async def jobs(self, *, limit: int = 100, after: str | None = None) -> list[Job]:
        return await self._look(lambda db: reads.jobs(db, limit, after))

    async def run(self, run_id: str) -> Run:
        return await self._look(lambda db: reads.run(db, run_id))

    async def runs(self, which: RunFilter | None = None, *, limit: int = 100, after: str | None = None) -> list[Run]:
        return await self._look(lambda db: reads.runs(db, which or RunFilter(), limit, after))

    async def events(self, run_id: str, *, after_version: int = 0, limit: int = 1000) -> list[RunEvent]:
        return await self._look(lambda db: reads.events(db, run_id, after_version, limit))

    async def attempts(self, run_id: str) -> list[Attempt]:
        return await self._look(lambda db: reads.attempts(db, run_id))

    async def counts(self) -> Counts:
        return await self._look(reads.counts)

    async def workers(self) -> list[Worker]:
        return await self._look(reads.workers)

    async def user(self, user_id: str) -> User:
        return await self._look(lambda db: reads.user(db, user_id))

    async def user_named(self, name: str) -> User | None:
        return await self._look(lambda db: reads.user_named(db, name))

    async def has_users(self) -> bool:
        return await self._look(reads.has_users)

    async def join(self, worker: Worker, *, now: datetime) -> None:
        await self._bridge.run(lambda db: self._leases.join(db, worker), Lane.BEAT, atomic=False)

    async def beat(self, worker_id: str, *, now: datetime, expires_at: datetime) -> Beat:
        return await self._bridge.run(
            lambda db: self._leases.beat(db, worker_id, now, expires_at), Lane.BEAT, atomic=False
        )

    async def claim(self, worker_id: str, *, limit: int, now: datetime) -> list[Claimed]:
        return await self._bridge.run(lambda db: self._leases.claim(db, worker_id, limit, now), Lane.CLAIM)

    async def freeze(self, run_id: str, attempt: int, bounds: Mapping[str, Any], *, now: datetime) -> bool:
        return await self._bridge.run(lambda db: self._leases.freeze(db, run_id, attempt, bounds))

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        return await self._bridge.run(lambda db: self._leases.acknowledge(db, outcomes, now), Lane.SETTLE)

    async def rescue(self, *, now: datetime, dead: Sequence[str] = (), limit: int = 500) -> list[Run]:
        return await self._bridge.run(lambda db: self._leases.rescue(db, now, dead, limit))

    async def leave(self, worker_id: str, *, now: datetime) -> list[Run]:
        return await self._bridge.run(lambda db: self._leases.leave(db, worker_id, now))

    async def tick(self, *, now: datetime, limit: int = 500) -> list[Run]:
        return await self._bridge.run(lambda db: self._leases.tick(db, now, limit))

    async def queued_hint(self) -> Hint:
        return await self._look(self._leases.queued_hint)

    async def ping(self) -> None:
        await self._look(lambda db: db.execute(sql.PING))

    async def statistics(self) -> Statistics:
        version: int = await self._look(lambda db: db.fetchval(sql.SCHEMA_VERSION))
        size_bytes: int = await self._look(lambda db: db.fetchval(sql.DATABASE_SIZE))
        return Statistics(
            kind="postgres", schema_version=version, size_bytes=size_bytes, figures=self._bridge.statistics()
        )

    async def migrate(self) -> int:
        return await self._bridge.run(schema.migrate)


@asynccontextmanager
async def open_postgres(dsn: str, rng: Random) -> AsyncGenerator[PostgresStore]:
    """The store in the PostgreSQL database at ``dsn``, its schema brought up to date.

    Raises:
        Misconfigured: the address or the credentials are wrong, or the schema belongs to a newer program.
        StoreUnavailable: nobody answers there.
    """
    async with open_bridge(dsn, schema.SCHEMA) as bridge:
        store = PostgresStore(bridge, rng)
        await store.migrate()
        yield store
