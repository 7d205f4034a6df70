"""Actors crash while their queries wait in PostgreSQL: no query hangs, no connection is lost, and the work goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from etlplus.actors.messages import (
    BROADCASTER,
    COMPLETER,
    DISPATCHER,
    HEARTBEAT,
    POOL,
    RESCUE,
    SCHEDULER,
    GetPool,
    runner_name,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.app.staff import new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.runtime import Crash, Name, System, Tell, Unhandled, open_system
from etlplus.settings import Settings
from etlplus.settings import schema as options
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, Db, open_bridge
from etlplus.testing.servers import PostgresServer, restartable_postgres

HANG_S = 30.0
VICTIMS: list[Name[Any]] = [
    POOL, BROADCASTER, HEARTBEAT, COMPLETER, DISPATCHER, SCHEDULER, RESCUE, runner_name(0),
]  # fmt: skip
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query !~ 'watcher'"
WAITING = f"SELECT count(*) {OURS} AND wait_event_type = 'Lock'"
BUSY = f"SELECT count(*) {OURS} AND state <> 'idle'"


class Poison(Tell[Any]):
    """A message that nobody handles: whoever gets it crashes."""


async def execute(work: Work, lease: Lease, reports: Reports) -> Result:
    """A load that freezes its sources, as every real one does, and is done."""
    await reports.freeze({"seen": 1})
    return Succeeded(Figures(rows_read=1, rows_loaded=1))


def was_poisoned(crash: Crash) -> bool:
    """Whether that alone ended it. What it had under way beside its mailbox may hear at that moment that the server is away."""
    leaves = [crash.error]
    while any(isinstance(leaf, BaseExceptionGroup) for leaf in leaves):
        leaves = [each for leaf in leaves for each in getattr(leaf, "exceptions", [leaf])]
    return {type(leaf) for leaf in leaves} - {StoreUnavailable} == {Unhandled}


@asynccontextmanager
async def everything_locked(bridge: Bridge) -> AsyncGenerator[None]:
    """Meanwhile every query that touches a table of ours waits."""
    locked, release = trio.Event(), trio.Event()

    async def unit(db: Db) -> None:
        tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'etlplus'")
        await db.execute(f"LOCK TABLE {', '.join(row['tablename'] for row in tables)} IN ACCESS EXCLUSIVE MODE")
        locked.set()
        while not release.is_set():
            await db.execute("/* watcher */ SELECT pg_sleep(0.01)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.run, unit)
        await locked.wait()
        try:
            yield
        finally:
            release.set()


async def until(bridge: Bridge, query: str, holds: Callable[[int], bool]) -> None:
    with trio.fail_after(HANG_S):
        while not holds(await bridge.run(lambda db: db.fetchval(query), atomic=False)):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await trio.sleep(0.02)


async def carried(store: Store, job_id: str) -> RunState:
    """How a new run ends."""
    (run,) = await store.enqueue([NewRun(job_id=job_id)], now=datetime.now(UTC))
    with trio.fail_after(HANG_S):
        while (found := await store.run(run.id)).finished_at is None:  # noqa: ASYNC110 - the store tells nobody
            await trio.sleep(0.02)
    return found.state


async def wait_store(system: System, *, up: bool) -> None:
    """Wait until the keeper of the connections says so."""
    with trio.fail_after(HANG_S):
        while (await system.ref(POOL).ask(GetPool())).up is not up:  # noqa: ASYNC110 - he tells those who ask
            await trio.sleep(0.02)


@pytest.mark.slow
async def test_crashes_of_the_whole_staff_leave_no_query_behind(new_database: Callable[[], str]) -> None:
    """Every actor crashes once while beat, claim and tick wait in the server; then everything works as before."""
    address, crashed = new_database(), []
    settings = Settings(lease=options.Lease(beat_s=0.2, expiry_s=60))
    standing = new_standing(1)
    async with open_store(address) as store, open_bridge(address, "etlplus") as outside:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=datetime.now(UTC))
        tree = staff(store, Inline(execute), standing, Newsroom(standing.now), settings)
        with trio.fail_after(4 * HANG_S):
            async with open_system(tree, on_crash=lambda crash: crashed.append(crash.path)) as system:
                assert await carried(store, job.id) is RunState.SUCCEEDED
                async with everything_locked(outside):
                    await until(outside, WAITING, lambda waiting: waiting >= 3)
                    for victim in VICTIMS:
                        system.ref(victim).tell(Poison())
                    while len(crashed) < len(VICTIMS):  # noqa: ASYNC110 - a list tells nobody
                        await trio.sleep(0.02)
                assert await carried(store, job.id) is RunState.SUCCEEDED
            await until(outside, BUSY, lambda busy: busy == 0)


@pytest.fixture
def server() -> Generator[PostgresServer]:
    with restartable_postgres() as server:
        yield server


@pytest.mark.slow
async def test_the_whole_staff_crashes_while_the_server_is_away_and_is_back_before_it(server: PostgresServer) -> None:
    """Each actor begins anew without a server, and nobody crashes for want of it; when it is there again, work goes on."""
    crashes: list[Crash] = []
    settings = Settings(lease=options.Lease(beat_s=0.2, expiry_s=60))
    standing = new_standing(1)
    async with open_store(server.address) as store:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=datetime.now(UTC))
        before = replace(new_standing(1).worker, id="before")
        await store.join(before, now=datetime.now(UTC))
        tree = staff(store, Inline(execute), standing, Newsroom(standing.now), settings, dead=[before.id])
        with trio.fail_after(4 * HANG_S):
            async with open_system(tree, on_crash=crashes.append) as system:
                assert await carried(store, job.id) is RunState.SUCCEEDED
                await trio.to_thread.run_sync(server.stop)
                for victim in VICTIMS:
                    system.ref(victim).tell(Poison())
                while len(crashes) < len(VICTIMS) or {each.status for each in system.tree().walk()} != {"running"}:  # noqa: ASYNC110
                    await trio.sleep(0.02)
                await wait_store(system, up=False)
                await trio.to_thread.run_sync(server.start)
                await wait_store(system, up=True)
                assert await carried(store, job.id) is RunState.SUCCEEDED
    assert [each for each in crashes if not was_poisoned(each)] == []
    assert len(crashes) == len(VICTIMS), crashes
