"""
The SQLite body of the store: on a file, with a writer thread and readers beside it, or in memory, within the caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio

from etlplus.errors import Misconfigured, StoreUnavailable
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
from etlplus.store.bells import AT_FIRST, EVERYBODYS, Bell, Pulled
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
from etlplus.store.pooling import LaneFigures
from etlplus.store.sqlite import (
    accounts,
    aside,
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
from etlplus.store.sqlite.claiming import claim, may_hand_over
from etlplus.store.sqlite.readers import InlineReaders, Readers, ThreadReaders
from etlplus.store.sqlite.settling import Settlements, passed_on
from etlplus.store.sqlite.writer import InlineWriter, Writer, open_thread_writer

T = TypeVar("T")
BUSY_MS = 10_000
READERS = 2


class SqliteStore:
    """See ``etlplus.store.contract.Store``."""

    def __init__(self, writer: Writer, readers: Readers, rng: Random) -> None:
        self._writer = writer
        self._readers = readers
        self._ids = Ids(rng)
        self._definitions = definitions.Definitions()
        self._settlements = Settlements(self._definitions, rng)
        self._pulled = Pulled()
        self._hearers: list[Callable[[Bell], None]] = []
        self._closed = trio.Event()
        self._once: Once | None = None

    def once(self, request: Once) -> SqliteStore:
        store = copy(self)
        store._once = request
        return store

    async def _write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        self._refuse_closed()
        if (once := self._once) is None:
            return await self._writer.run(unit)

        def deed(db: sqlite3.Connection) -> T:
            receipts.leave(db, once)
            return unit(db)

        return await self._writer.run(deed)

    async def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        self._refuse_closed()
        return await self._readers.run(look)

    def _refuse_closed(self) -> None:
        if self._closed.is_set():
            raise StoreUnavailable("the store is closed")

    def close(self) -> None:
        """Refuse whatever comes from now on."""
        self._closed.set()

    async def _opened(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """A unit after which more may be claimed, though no run has changed."""
        answer = await self._write(unit)
        self._pulled.pull(Bell.WORK)
        return answer

    async def _moved(self, unit: Callable[[sqlite3.Connection], list[Run]], now: datetime) -> list[Run]:
        """A unit that answers with the runs that it made or moved on."""
        runs = await self._write(unit)
        self._pulled.pull_for(runs, now)
        return runs

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
            lambda db: ticking.save_job(db, self._ids, draft, now, job_id, expected_version)
        )
        self._pulled.pull_for(runs, now)
        if runs and tell is not None:
            tell(runs)
        if saved.next_at is not None:
            self._pulled.pull(Bell.PLANS)
        return saved

    async def delete_job(self, job_id: str, *, now: datetime, expected_version: int | None = None) -> None:
        await self._write(lambda db: definitions.delete_job(db, job_id, expected_version))

    async def enqueue(self, runs: Sequence[NewRun], *, now: datetime) -> list[Run]:
        def unit(db: sqlite3.Connection) -> list[Run]:
            made = enqueueing.enqueue(db, self._ids, runs, now)
            if self._once is not None:
                receipts.name_made(db, self._once, [run.id for run in made])
            return made

        return await self._moved(unit, now)

    async def cancel(self, run_id: str, *, now: datetime) -> list[Run]:
        return await self._moved(lambda db: cancelling.cancel(db, run_id, now), now)

    async def cancel_many(
        self, which: Unfinished, *, now: datetime, limit: int = 1000, after: str | None = None
    ) -> Swept:
        meant = await self._read(lambda db: cancelling.to_cancel(db, which, limit, after))
        runs, released = await self._write(lambda db: cancelling.cancel_many(db, meant, which.states, now))
        self._pulled.pull_for([*runs, *released], now)
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
        found = await self._write(lambda db: letters.replay(db, self._ids, which, edit or {}, dry_run, limit, now))
        self._pulled.pull_for([each.run for each in found if each.run is not None], now)
        return found

    async def discard(self, which: LetterFilter, *, reason: str, now: datetime, limit: int = 1000) -> list[str]:
        return await self._write(lambda db: letters.discard(db, which, reason, limit, now))

    async def save_user(self, draft: UserDraft, *, now: datetime, user_id: str | None = None) -> User:
        return await self._write(lambda db: accounts.save_user(db, self._ids, draft, now, user_id))

    async def claim_bootstrap(self, draft: UserDraft, *, now: datetime) -> User:
        return await self._write(lambda db: accounts.claim_bootstrap(db, self._ids, draft, now))

    async def bump_epoch(self, user_id: str) -> User:
        return await self._write(lambda db: accounts.bump_epoch(db, user_id))

    async def keep_answer(self, request: Once, answer: Answer) -> None:
        await self._write(lambda db: receipts.keep_answer(db, request, answer))

    async def receipt(self, request: Once) -> Receipt | None:
        return await self._read(lambda db: receipts.find(db, request))

    async def job(self, job_id: str) -> Job:
        return await self._read(lambda db: reads.job(db, job_id))

    async def job_named(self, name: str) -> Job | None:
        return await self._read(lambda db: reads.job_named(db, name))

    async def jobs(self, *, limit: int = 100, after: str | None = None) -> list[Job]:
        return await self._read(lambda db: reads.jobs(db, limit, after))

    async def run(self, run_id: str) -> Run:
        return await self._read(lambda db: reads.run(db, run_id))

    async def runs(self, which: RunFilter | None = None, *, limit: int = 100, after: str | None = None) -> list[Run]:
        return await self._read(lambda db: reads.runs(db, which or RunFilter(), limit, after))

    async def unfinished(self, which: Unfinished) -> dict[RunState, int]:
        return await self._read(lambda db: cancelling.unfinished(db, which))

    async def events(self, run_id: str, *, after_version: int = 0, limit: int = 1000) -> list[RunEvent]:
        return await self._read(lambda db: reads.run_events(db, run_id, after_version, limit))

    async def attempts(self, run_id: str) -> list[Attempt]:
        return await self._read(lambda db: reads.attempts(db, run_id))

    async def log(
        self, run_id: str, attempt: int, *, after: int = 0, search: str | None = None, limit: int = 1000
    ) -> list[LogLine]:
        return await self._read(lambda db: logs.read(db, run_id, attempt, after, search, limit))

    async def log_tail(self, run_id: str, attempt: int, *, limit: int = 100) -> list[LogLine]:
        return await self._read(lambda db: logs.tail(db, run_id, attempt, limit))

    async def log_state(self, run_id: str, attempt: int) -> LogState:
        return await self._read(lambda db: logs.state(db, run_id, attempt))

    async def explain(self, run_id: str, *, now: datetime) -> Explanation:
        return explain(await self._read(lambda db: explaining.situation(db, run_id)), now)

    async def counts(self) -> Counts:
        return await self._read(reads.counts)

    async def workers(self) -> list[Worker]:
        return await self._read(reads.workers)

    async def dead_letters(
        self, which: LetterFilter | None = None, *, resolved: bool = False, limit: int = 100, after: str | None = None
    ) -> list[DeadLetter]:
        return await self._read(lambda db: letters.letters(db, which or LetterFilter(), limit, after, resolved))

    async def ticks(self, job_id: str, *, limit: int = 100, after: tuple[datetime, str] | None = None) -> list[Tick]:
        return await self._read(lambda db: ledger.ticks(db, job_id, limit, after))

    async def scheduled(self, job_ids: Sequence[str] | None = None, *, limit: int = 200) -> list[Scheduled]:
        return await self._read(lambda db: ledger.scheduled(db, job_ids, limit))

    async def queues(self) -> list[QueueCounts]:
        return await self._read(queues.queues)

    async def limits(self) -> list[Limit]:
        return await self._read(limits.limits)

    async def user(self, user_id: str) -> User:
        return await self._read(lambda db: accounts.user(db, user_id))

    async def user_named(self, name: str) -> User | None:
        return await self._read(lambda db: accounts.user_named(db, name))

    async def has_users(self) -> bool:
        return await self._read(accounts.has_users)

    async def time(self) -> datetime | None:
        return None

    async def join(self, worker: Worker, *, now: datetime) -> None:
        await self._write(lambda db: working.join(db, worker))

    async def beat(self, worker_id: str, *, now: datetime, expires_at: datetime, attends: bool = False) -> Beat:
        return await self._write(lambda db: working.beat(db, worker_id, now, expires_at))

    async def claim(self, worker_id: str, *, limit: int, now: datetime, calls: bool = False) -> Taken:
        taken, lines = await self._write(lambda db: self._claim(db, worker_id, limit, now, calls))
        self._settlements.remember(lines)
        return taken

    def _claim(
        self, db: sqlite3.Connection, worker_id: str, limit: int, now: datetime, calls: bool
    ) -> tuple[Taken, list[Kept]]:
        haul = claim(db, worker_id, limit, now, calls)
        jobs = self._definitions.of(db, [line.run for line in haul.lines])
        claimed, lines, some_aside = aside.set_aside(db, haul.lines, jobs, now)
        return Taken(claimed, now if some_aside else haul.next_at, haul.held_up), lines

    async def freeze(self, run_id: str, attempt: int, bounds: Mapping[str, Any], *, now: datetime) -> bool:
        return await self._write(lambda db: working.freeze(db, run_id, attempt, bounds))

    async def append_log(
        self, run_id: str, attempt: int, worker_id: str, lines: Sequence[NewLine], *, now: datetime
    ) -> LogState | None:
        return await self._write(lambda db: logs.append(db, run_id, attempt, worker_id, lines))

    async def acknowledge(self, outcomes: Sequence[Outcome], *, now: datetime) -> list[Settled]:
        settled = await self._write(lambda db: self._settlements.acknowledge(db, outcomes, now))
        self._settled(settled, now)
        return settled

    async def hand_over(
        self, outcomes: Sequence[Outcome], *, worker_id: str, limit: int, now: datetime, calls: bool = False
    ) -> HandedOver:
        def unit(db: sqlite3.Connection) -> tuple[list[Settled], Taken, list[Kept]]:
            settled = self._settlements.acknowledge(db, outcomes, now)
            if not may_hand_over(db, worker_id, now):
                return settled, Taken([]), []
            taken, lines = self._claim(db, worker_id, limit, now, calls)
            return passed_on(settled, len(taken.claimed)), taken, lines

        settled, taken, lines = await self._write(unit)
        self._settlements.remember(lines)
        self._settled(settled, now)
        return HandedOver(settled, taken)

    def _settled(self, settled: Sequence[Settled], now: datetime) -> None:
        self._pulled.pull_for([run for each in settled for run in (each.run, each.released) if run is not None], now)
        if any(each.freed for each in settled):
            self._pulled.pull(Bell.ROOM)

    async def rescue(self, *, now: datetime, dead: Sequence[str] = (), limit: int = 500) -> list[Run]:
        rescued = await self._moved(lambda db: self._settlements.rescue(db, now, dead, limit), now)
        if rescued:
            self._pulled.pull(Bell.WORK)  # their slots are free, whatever became of them
        return rescued

    async def leave(self, worker_id: str, *, now: datetime) -> list[Run]:
        returned = await self._moved(lambda db: self._settlements.leave(db, worker_id, now), now)
        await self.ring()  # whoever leaves has nobody to ring later
        return returned

    async def tick(
        self, *, now: datetime, limit: int = 500, tell: Callable[[Sequence[str]], None] | None = None
    ) -> list[Run]:
        runs, decided = await self._write(lambda db: ticking.tick(db, self._definitions, self._ids, now, limit))
        self._pulled.pull_for(runs, now)
        if tell is not None:
            tell(decided)
        return runs

    async def queued_hint(self) -> Hint:
        return await self._read(ticking.queued_hint)

    def pull(self, bell: Bell) -> None:
        self._pulled.pull(bell)

    async def wait_pulled(self) -> None:
        await self._pulled.wait()

    async def ring(self) -> frozenset[Bell]:
        self._refuse_closed()
        await trio.lowlevel.checkpoint()
        bells = self._pulled.take()
        # Where one hears, whoever rings is that one.
        for bell in sorted(bells if len(self._hearers) > 1 else bells - EVERYBODYS):
            for heard in list(self._hearers):
                heard(bell)
        return bells

    async def publish(self, bulletin: Bulletin) -> None:
        self._refuse_closed()
        await trio.lowlevel.checkpoint()  # nobody else can attend

    async def bulletins(self, worker_id: str, after: Mapping[str, int]) -> Bulletins:
        self._refuse_closed()
        await trio.lowlevel.checkpoint()
        return Bulletins()

    async def bulletin_numbers(self, worker_id: str) -> dict[str, int]:
        self._refuse_closed()
        await trio.lowlevel.checkpoint()
        return {}

    async def hear(self, heard: Callable[[Bell], None]) -> None:
        self._hearers.append(heard)
        try:
            for bell in sorted(AT_FIRST):
                heard(bell)
            await trio.sleep_forever()
        finally:
            self._hearers.remove(heard)

    async def ping(self) -> None:
        await self._write(lambda db: db.execute("SELECT 1").fetchone())

    async def tend(self) -> None:
        await trio.lowlevel.checkpoint()

    async def distrust(self) -> None:
        await trio.lowlevel.checkpoint()

    def lanes(self) -> Mapping[str, LaneFigures]:
        return {}

    async def statistics(self) -> Statistics:
        return await self._read(lambda db: reads.statistics(db, self._writer.statistics()))

    async def horizon(self) -> Horizon:
        self._refuse_closed()
        await trio.lowlevel.checkpoint()
        return Horizon()

    async def tidy(self, keep: Keep, *, now: datetime, limit: int = 1000) -> Tidied:
        return await self._write(lambda db: tidying.tidy(db, keep, now, limit))

    async def migrate(self) -> int:
        if await self._write(aside.try_again):
            self._pulled.pull(Bell.WORK)
        return len(schema.MIGRATIONS)  # the schema itself was made when opening, before anybody could ask


@asynccontextmanager
async def open_sqlite(path: Path | None, rng: Random) -> AsyncGenerator[SqliteStore]:
    """The store in a file, or in memory when ``path`` is None.

    Raises:
        Misconfigured: the file belongs to a newer program.
        StoreUnavailable: it cannot be opened or is no database.
    """
    db = _connect(path)
    try:
        if path is None:
            store = SqliteStore(InlineWriter(db), InlineReaders(db), rng)
            await store.migrate()
            yield store
        else:
            async with open_thread_writer(db) as writer, ThreadReaders(lambda: _connect(path), READERS) as readers:
                store = SqliteStore(writer, readers, rng)
                await store.migrate()
                yield store
        store.close()
    finally:
        db.close()


def _connect(path: Path | None) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {path} cannot be opened: {error}") from error
    try:
        db.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        schema.migrate(db)
    except sqlite3.Error as error:
        db.close()
        raise StoreUnavailable(f"the store {path} cannot be opened: {error}") from error
    except Misconfigured:
        db.close()
        raise
    return db
