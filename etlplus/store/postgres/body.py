"""
The PostgreSQL body of the store: each call is one unit that crosses the bridge once, on the lane that fits it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime
from functools import partial
from random import Random
from typing import Any, TypeVar

import trio
from asyncpg import LockNotAvailableError

from etlplus.jobs.explaining import Explanation, explain
from etlplus.jobs.ids import Ids
from etlplus.jobs.letters import DeadLetter, Edit, LetterFilter, Replay
from etlplus.jobs.logs import LogLine, LogState, NewLine
from etlplus.jobs.model import Attempt, Job, JobDraft, NewRun, Run, RunEvent, RunState, Worker
from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueCounts, QueueDraft, QueueMode
from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.jobs.retention import Keep, Tidied
from etlplus.jobs.ticks import Tick
from etlplus.jobs.users import User, UserDraft
from etlplus.store.bells import WORK_OF, Bell, Pulled
from etlplus.store.contract import (
    Beat,
    Bulletin,
    Bulletins,
    Counts,
    HandedOver,
    Hint,
    Horizon,
    Outcome,
    RunFilter,
    Scheduled,
    Settled,
    Statistics,
    Swept,
    Taken,
    Unfinished,
)
from etlplus.store.kept import Kept
from etlplus.store.pooling import LaneFigures, Pooling
from etlplus.store.postgres import (
    accounts,
    aside,
    bulletins,
    cancelling,
    definitions,
    enqueueing,
    explaining,
    ledger,
    letters,
    limits,
    logs,
    queues,
    reads,
    receipts,
    schema,
    ticking,
    tidying,
    working,
)
from etlplus.store.postgres.bridge import Bridge, Db, Lane, Unit, open_bridge
from etlplus.store.postgres.claiming import Claims, Wish
from etlplus.store.postgres.gathering import Gathering
from etlplus.store.postgres.listening import Bells
from etlplus.store.postgres.marks import Marks
from etlplus.store.postgres.settling import Settlements
from etlplus.store.postgres.sql import admin as sql
from etlplus.store.postgres.warming import warm_up

T = TypeVar("T")

SHARDS = 16
"""Rows per tally; each node adds to one of them."""


class PostgresStore:
    """See ``etlplus.store.contract.Store``."""

    def __init__(self, bridge: Bridge, rng: Random, bells: Bells) -> None:
        self._bridge = bridge
        self._bells, self._pulled = bells, Pulled()
        self._alone, self._unheard = False, set[Bell]()
        self._ids, self._shard = Ids(rng), rng.randrange(SHARDS)
        self._marks = Marks()
        self._known = definitions.Definitions()
        self._gathering = Gathering(bridge, self._ids, self._stirred)
        self._claims = Claims(bridge, self._known, self._marks)
        self._settlements = Settlements(bridge, self._known, self._claims, rng, self._shard)
        self._once: Once | None = None

    def once(self, request: Once) -> PostgresStore:
        store = copy(self)
        store._once = request
        return store

    async def _write(self, unit: Unit[T]) -> T:
        """A unit of somebody's; if it is a request's deed, it leaves the receipt."""
        if (once := self._once) is None:
            return await self._bridge.run(unit)

        async def deed(db: Db) -> T:
            await receipts.leave(db, once)
            return await unit(db)

        return await self._bridge.run(deed)

    async def _look(self, unit: Unit[T]) -> T:
        return await self._bridge.run(unit, atomic=False)

    def _stirred(self, runs: Sequence[Run], now: datetime) -> None:
        """Runs came into the queues, or made another transition: the next claim must not look past them, and others want
        to hear of them.
        """
        self._pulled.pull_for(runs, now)
        if queued := [run.rank_at for run in runs if run.state is RunState.QUEUED]:
            self._marks.stir(min(queued))

    async def _opened(self, unit: Unit[T]) -> T:
        """A unit after which more may be claimed, though no run has changed."""
        answer = await self._write(unit)
        self._pulled.pull(Bell.WORK)
        return answer

    async def save_job(
        self,
        draft: JobDraft,
        *,
        now: datetime,
        job_id: str | None = None,
        expected_version: int | None = None,
        tell: Callable[[Sequence[Run]], None] | None = None,
    ) -> Job:
        saved, runs = await self._write(
            lambda db: ticking.save_job(db, self._ids, draft, now, job_id, expected_version, self._shard)
        )
        self._stirred(runs, now)
        if runs and tell is not None:
            tell(runs)
        if saved.next_at is not None:
            self._pulled.pull(Bell.PLANS)
        return self._gathering.saw(saved)

    async def delete_job(self, job_id: str, *, now: datetime, expected_version: int | None = None) -> None:
        await self._write(lambda db: definitions.delete_job(db, job_id, expected_version))

    async def enqueue(self, runs: Sequence[NewRun], *, now: datetime) -> list[Run]:
        if self._once is None and len(runs) == 1 and (run := await self._gathering.make(runs[0], now)) is not None:
            return [run]

        async def unit(db: Db) -> list[Run]:
            made = await enqueueing.enqueue(db, self._ids, runs, now, self._shard)
            if self._once is not None:
                await receipts.name_made(db, self._once, [run.id for run in made])
            return made

        made = await self._write(unit)
        self._stirred(made, now)
        return made

    async def cancel(self, run_id: str, *, now: datetime) -> list[Run]:
        changed = await self._write(lambda db: cancelling.cancel(db, run_id, now, self._shard))
        self._stirred(changed, now)
        return changed

    async def cancel_many(
        self, which: Unfinished, *, now: datetime, limit: int = 1000, after: str | None = None
    ) -> Swept:
        meant = await self._look(lambda db: cancelling.to_cancel(db, which, limit, after))
        runs, released = await self._write(lambda db: cancelling.cancel_many(db, meant, which.states, now, self._shard))
        self._stirred([*runs, *released], now)
        return Swept(runs, released, meant[-1] if len(meant) == limit else None)

    async def save_queue(self, draft: QueueDraft, *, now: datetime) -> Queue:
        return await self._opened(lambda db: queues.save_queue(db, draft, now))

    async def set_queue_mode(self, name: str, mode: QueueMode, *, now: datetime) -> Queue:
        return await self._opened(lambda db: queues.set_queue_mode(db, name, mode, now))

    async def delete_queue(self, name: str, *, now: datetime) -> None:
        await self._write(lambda db: queues.delete_queue(db, name))

    async def save_limit(self, draft: LimitDraft, *, now: datetime) -> Limit:
        return await self._opened(lambda db: limits.save_limit(db, draft, now))

    async def delete_limit(self, name: str, *, now: datetime) -> None:
        await self._opened(lambda db: limits.delete_limit(db, name))

    async def replay(
        self, which: LetterFilter, *, now: datetime, edit: Edit | None = None, dry_run: bool = False, limit: int = 1000
    ) -> list[Replay]:
        replayed = await self._write(
            lambda db: letters.replay(db, self._ids, which, edit or {}, dry_run, limit, now, self._shard)
        )
        self._stirred([each.run for each in replayed if each.run is not None], now)
        return replayed

    async def discard(self, which: LetterFilter, *, reason: str, now: datetime, limit: int = 1000) -> list[str]:
        return await self._write(lambda db: letters.discard(db, which, reason, limit, now))

    async def save_user(self, draft: UserDraft, *, now: datetime, user_id: str | None = None) -> User:
        return await self._write(lambda db: accounts.save_user(db, self._ids, draft, now, user_id))

    async def claim_bootstrap(self, draft: UserDraft, *, now: datetime) -> User:
        return await self._write(lambda db: accounts.claim_bootstrap(db, self._ids, draft, now))

    async def bump_epoch(self, user_id: str) -> User:
        return await self._write(lambda db: accounts.bump_epoch(db, user_id))

    async def keep_answer(self, request: Once, answer: Answer) -> None:
        await self._bridge.run(lambda db: receipts.keep_answer(db, request, answer))

    async def receipt(self, request: Once) -> Receipt | None:
        return await self._look(lambda db: receipts.find(db, request))

    async def job(self, job_id: str) -> Job:
        return self._gathering.saw(await self._look(lambda db: reads.job(db, job_id)))

    async def job_named(self, name: str) -> Job | None:
        job = await self._look(lambda db: reads.job_named(db, name))
        return self._gathering.saw(job) if job is not None else None

    async def jobs(self, *, limit: int = 100, after: str | None = None) -> list[Job]:
        return await self._look(lambda db: reads.jobs(db, limit, after))

    async def run(self, run_id: str) -> Run:
        return await self._look(lambda db: reads.run(db, run_id))

    async def runs(self, which: RunFilter | None = None, *, limit: int = 100, after: str | None = None) -> list[Run]:
        return await self._look(lambda db: reads.runs(db, which or RunFilter(), limit, after))

    async def unfinished(self, which: Unfinished) -> dict[RunState, int]:
        return await self._look(lambda db: cancelling.unfinished(db, which))

    async def events(self, run_id: str, *, after_version: int = 0, limit: int = 1000) -> list[RunEvent]:
        return await self._look(lambda db: reads.run_events(db, run_id, after_version, limit))

    async def attempts(self, run_id: str) -> list[Attempt]:
        return await self._look(lambda db: reads.attempts(db, run_id))

    async def log(
        self, run_id: str, attempt: int, *, after: int = 0, search: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        return await self._look(lambda db: logs.read(db, run_id, attempt, after, search, limit))

    async def log_tail(self, run_id: str, attempt: int, *, limit: int = 100) -> list[LogLine]:
        return await self._look(lambda db: logs.tail(db, run_id, attempt, limit))

    async def log_state(self, run_id: str, attempt: int) -> LogState:
        return await self._look(lambda db: logs.state(db, run_id, attempt))

    async def explain(self, run_id: str, *, now: datetime) -> Explanation:
        return explain(await self._bridge.run(lambda db: explaining.situation(db, run_id)), now)

    async def counts(self) -> Counts:
        return await self._look(reads.counts)

    async def workers(self) -> list[Worker]:
        return await self._look(reads.workers)

    async def dead_letters(
        self, which: LetterFilter | None = None, *, resolved: bool = False, limit: int = 100, after: str | None = None
    ) -> list[DeadLetter]:
        return await self._look(lambda db: letters.letters(db, which or LetterFilter(), limit, after, resolved))

    async def ticks(self, job_id: str, *, limit: int = 100, after: tuple[datetime, str] | None = None) -> list[Tick]:
        return await self._look(lambda db: ledger.ticks(db, job_id, limit, after))

    async def scheduled(self, job_ids: Sequence[str] | None = None, *, limit: int = 200) -> list[Scheduled]:
        return await self._look(lambda db: ledger.scheduled(db, job_ids, limit))

    async def queues(self) -> list[QueueCounts]:
        return await self._look(queues.queues)

    async def limits(self) -> list[Limit]:
        return await self._look(limits.limits)

    async def user(self, user_id: str) -> User:
        return await self._look(lambda db: accounts.user(db, user_id))

    async def user_named(self, name: str) -> User | None:
        return await self._look(lambda db: accounts.user_named(db, name))

    async def has_users(self) -> bool:
        return await self._look(accounts.has_users)

    async def time(self) -> datetime | None:
        return await self._bridge.run(lambda db: db.fetchval(sql.TIME), Lane.BEAT, atomic=False)

    async def join(self, worker: Worker, *, now: datetime) -> None:
        self._meet(company=True)
        await self._bridge.run(lambda db: working.join(db, worker), Lane.BEAT, atomic=False)

    async def beat(self, worker_id: str, *, now: datetime, expires_at: datetime, attends: bool = False) -> Beat:
        answer = await self._bridge.run(
            lambda db: working.beat(db, worker_id, now, expires_at, attends), Lane.BEAT, atomic=False
        )
        self._meet(company=answer.company or not answer.alive)
        return answer

    def _meet(self, *, company: bool) -> None:
        """Learn whether there are others. They may have begun to hear before that, so they are rung what was rung for nobody."""
        self._alone = not company
        if company and self._unheard:
            self._pulled.pull(*self._unheard)
            self._unheard.clear()

    async def claim(self, worker_id: str, *, limit: int, now: datetime, calls: bool = False) -> Taken:
        return await self._whole(*await self._claims.claim(worker_id, limit, now, calls), now)

    async def _whole(self, taken: Taken, lines: list[Kept], now: datetime) -> Taken:
        """What of it can be carried out, remembered; the rest is set aside."""
        if not all(each.job.is_whole for each in taken.claimed):
            set_aside = partial(aside.set_aside, taken=taken, lines=lines, now=now)
            taken, lines = await self._bridge.run(set_aside, Lane.CLAIM)
        self._settlements.remember(taken.claimed, lines)
        return taken

    async def freeze(self, run_id: str, attempt: int, bounds: Mapping[str, Any], *, now: datetime) -> bool:
        return await self._bridge.run(lambda db: working.freeze(db, run_id, attempt, bounds))

    async def append_log(
        self, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine], *, now: datetime
    ) -> LogState | None:
        return await self._bridge.run(lambda db: logs.append(db, run_id, attempt, worker_id, lines))

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        settled = await self._settlements.acknowledge(outcomes, now)
        self._settled(settled, now)
        return settled

    async def hand_over(
        self, outcomes: Sequence[Outcome], *, worker_id: str, limit: int, now: datetime, calls: bool = False
    ) -> HandedOver:
        settled, haul = await self._settlements.hand_over(outcomes, Wish(worker_id, limit, calls), now)
        self._settled(settled, now)
        if haul is None:
            return HandedOver(settled, Taken([]))
        return HandedOver(settled, await self._whole(Taken(haul.claimed), haul.lines, now))

    def _settled(self, settled: Sequence[Settled], now: datetime) -> None:
        self._stirred([run for each in settled for run in (each.run, each.released) if run is not None], now)
        if any(each.freed for each in settled):
            self._pulled.pull(Bell.ROOM)

    async def rescue(self, *, now: datetime, dead: Sequence[str] = (), limit: int = 500) -> list[Run]:
        rescued = await self._bridge.run(lambda db: self._settlements.rescue(db, now, dead, limit))
        self._stirred(rescued, now)
        if rescued:
            self._pulled.pull(Bell.WORK)  # their slots are free, whatever became of them
        return rescued

    async def leave(self, worker_id: str, *, now: datetime) -> list[Run]:
        returned = await self._bridge.run(lambda db: self._settlements.leave(db, worker_id, now))
        self._stirred(returned, now)
        await self.ring()  # whoever leaves has nobody to ring later
        return returned

    async def tick(
        self, *, now: datetime, limit: int = 500, tell: Callable[[Sequence[str]], None] | None = None
    ) -> list[Run]:
        due, decided = await self._bridge.run(
            lambda db: ticking.tick(db, self._known, self._ids, now, limit, self._shard)
        )
        self._stirred(due, now)
        if tell is not None:
            tell(decided)
        return due

    async def queued_hint(self) -> Hint:
        return await self._look(ticking.queued_hint)

    def pull(self, bell: Bell) -> None:
        self._pulled.pull(bell)

    async def wait_pulled(self) -> None:
        await self._pulled.wait()

    async def ring(self) -> frozenset[Bell]:
        bells = self._pulled.take()
        heard = bells & {Bell.TEST} if self._alone else bells
        self._unheard |= bells - heard
        try:
            if heard:
                await self._bells.ring(heard)
        except BaseException:
            self._pulled.pull(*bells)
            raise
        return bells

    async def publish(self, bulletin: Bulletin) -> None:
        await self._bridge.run(lambda db: bulletins.publish(db, bulletin), atomic=False)
        self._pulled.pull(Bell.NEWS)

    async def bulletins(self, worker_id: str, after: Mapping[str, int]) -> Bulletins:
        return await self._look(lambda db: bulletins.read(db, worker_id, after))

    async def bulletin_numbers(self, worker_id: str) -> dict[str, int]:
        return await self._look(lambda db: bulletins.numbers(db, worker_id))

    async def hear(self, heard: Callable[[Bell], None]) -> None:
        def hearing(bell: Bell) -> None:
            if bell in WORK_OF:
                self._marks.stir()  # others may have queued what the next claim would look past
            heard(bell)

        await self._bells.hear(hearing)

    async def ping(self) -> None:
        await self._bridge.run(lambda db: db.execute(sql.PING), Lane.BEAT, atomic=False)

    async def tend(self) -> None:
        await self._bridge.tend()

    async def distrust(self) -> None:
        await trio.lowlevel.checkpoint()
        self._bridge.distrust()

    def lanes(self) -> Mapping[str, LaneFigures]:
        return self._bridge.lanes()

    async def statistics(self) -> Statistics:
        version: int = await self._look(lambda db: db.fetchval(sql.SCHEMA_VERSION))
        size_bytes: int = await self._look(lambda db: db.fetchval(sql.DATABASE_SIZE))
        return Statistics(
            kind="postgres", schema_version=version, size_bytes=size_bytes, figures=self._bridge.statistics()
        )

    async def horizon(self) -> Horizon:
        row = await self._look(lambda db: db.fetchrow(sql.HORIZON))
        return Horizon(oldest_s=row["oldest_s"] or 0.0, culprit=row["culprit"], dead_ratio=row["dead_ratio"] or 0.0)

    async def tidy(self, keep: Keep, *, now: datetime, limit: int = 1000) -> Tidied:
        try:
            return await self._bridge.run(lambda db: tidying.tidy(db, keep, now, limit, self._shard))
        except LockNotAvailableError:
            return Tidied(more=True)  # somebody reads for long; the next round will find it done

    async def migrate(self) -> int:
        version = await self._bridge.run(schema.migrate)
        if await self._bridge.run(aside.try_again):
            self._pulled.pull(Bell.WORK)
        return version


@asynccontextmanager
async def open_postgres(dsn: str, rng: Random, rules: Pooling) -> AsyncGenerator[PostgresStore]:
    """The store in the PostgreSQL database at ``dsn``, its schema brought up to date.

    Raises:
        Misconfigured: the address, the credentials or ``rules`` are wrong, or the schema belongs to a newer program.
        StoreUnavailable: nobody answers there.
    """
    async with open_bridge(dsn, schema.SCHEMA, rules, Random(rng.getrandbits(64))) as bridge:
        direct = "" if rules.pgbouncer else dsn
        store = PostgresStore(bridge, rng, Bells(bridge, rules.listen_url or direct, rng))
        await store.migrate()
        if not rules.pgbouncer:  # behind which nothing is prepared beyond its unit
            await warm_up(bridge)
        yield store
