"""Connections to PostgreSQL: how many there are, who waits for one, how long they live, and what is left after trouble."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from etlplus.errors import StoreUnavailable
from etlplus.store.pooling import USUAL, LaneFigures
from etlplus.store.postgres import bridge as bridge_module
from etlplus.store.postgres import lanes as lanes_module
from etlplus.store.postgres.bridge import OWN_CONNECTIONS, Bridge, Db, Lane, open_bridge
from etlplus.store.postgres.lanes import Connections, Fate, Held, fate
from etlplus.testing.servers import PostgresServer, restartable_postgres

HANG_S = 40.0
CANCELLED = 2_000
TURNS = 20
SESSIONS = """
    SELECT count(*), count(*) FILTER (WHERE state <> 'idle') FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'etlplus' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def address(new_database: Callable[[], str]) -> str:
    return new_database()


@asynccontextmanager
async def opened(address: str, **rules: Any) -> AsyncGenerator[Bridge]:
    """A bridge with a table to write to."""
    async with open_bridge(address, "public", replace(USUAL, **rules), Random(1)) as bridge:
        await bridge.run(lambda db: db.execute("CREATE TABLE IF NOT EXISTS mark (id int PRIMARY KEY, amount int)"))
        await bridge.run(lambda db: db.execute("INSERT INTO mark VALUES (1, 0) ON CONFLICT DO NOTHING"))
        yield bridge


def general(bridge: Bridge) -> LaneFigures:
    return bridge.lanes()[Lane.GENERAL]


async def pid(db: Db) -> int:
    return await db.fetchval("SELECT pg_backend_pid()")


async def count(db: Db) -> None:
    await db.execute("UPDATE mark SET amount = amount + 1")


async def counted(bridge: Bridge) -> int:
    return await bridge.run(lambda db: db.fetchval("SELECT amount FROM mark"))


@asynccontextmanager
async def all_in_use(bridge: Bridge) -> AsyncGenerator[None]:
    """Meanwhile every general connection is in the hands of a unit."""
    release, begun = trio.Event(), 0

    async def unit(db: Db) -> None:
        nonlocal begun
        begun += 1
        while not release.is_set():
            await db.execute("SELECT 1")

    async with trio.open_nursery() as nursery:
        for _ in range(USUAL.connections_max):
            nursery.start_soon(bridge.run, unit)
        while begun < USUAL.connections_max:
            await trio.lowlevel.checkpoint()
        yield
        release.set()


async def test_who_finds_no_free_connection_gives_up_in_time_and_says_why(address: str) -> None:
    """The sentence names the lane, its size and the line; nobody is disturbed, and the wait is counted."""
    async with opened(address, acquire_timeout_s=0.05) as bridge:
        async with all_in_use(bridge):
            assert (general(bridge).in_use, general(bridge).idle) == (4, 0)
            with pytest.raises(StoreUnavailable) as told:
                await bridge.run(count)
        assert str(told.value) == (
            "no connection of the lane general was free within 0.05 s: all 4 are in use, and 0 others wait"
        )
        figures = general(bridge)
        assert (figures.in_use, figures.waiting) == (0, 0)
        assert figures.waits.sum >= 0.05
        assert await counted(bridge) == 0


async def test_whoever_came_first_is_served_first(address: str) -> None:
    """Waiting is fair, it is seen from outside, and one that is cancelled leaves no gap."""
    served: list[int] = []

    async def ask(bridge: Bridge, number: int, scope: trio.CancelScope) -> None:
        async def unit(db: Db) -> None:
            served.append(number)

        with scope:
            await bridge.run(unit)

    scopes = [trio.CancelScope() for _ in range(8)]
    async with opened(address, connections_max=1) as bridge, trio.open_nursery() as nursery:
        release, begun = trio.Event(), trio.Event()

        async def hold(db: Db) -> None:
            begun.set()
            while not release.is_set():
                await db.execute("SELECT 1")

        nursery.start_soon(bridge.run, hold)
        await begun.wait()
        for number, scope in enumerate(scopes):
            nursery.start_soon(ask, bridge, number, scope)
            while general(bridge).waiting <= number:
                await trio.lowlevel.checkpoint()
        scopes[3].cancel()
        while general(bridge).waiting > 7:
            await trio.lowlevel.checkpoint()
        release.set()
    assert served == [0, 1, 2, 4, 5, 6, 7]


async def test_connections_grow_old_and_no_unit_is_lost(address: str) -> None:
    """With a life shorter than the work, and somebody who looks after them all the time, connections come and go beneath it;
    never are there too many, and each unit takes effect once.
    """
    pids: set[int] = set()

    async def work(bridge: Bridge) -> None:
        for _ in range(25):
            await bridge.run(count)
            pids.add(await bridge.run(pid, atomic=False))
            assert general(bridge).opened - general(bridge).closed <= USUAL.connections_max

    async def look_after(bridge: Bridge) -> None:
        for _ in range(25):
            await bridge.tend()

    async with opened(address, lifetime_s=0.02, connections_min=3) as bridge:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_after, bridge)
            for _ in range(6):
                nursery.start_soon(work, bridge)
        assert await counted(bridge) == 150
        figures = general(bridge)
        assert len(pids) > USUAL.connections_max
        assert figures.opened > USUAL.connections_max
        assert figures.opened - figures.closed == figures.idle <= USUAL.connections_max
        await bridge.tend()
        assert 3 <= general(bridge).opened - general(bridge).closed == general(bridge).idle <= USUAL.connections_max


class Line:
    """A connection of nobody."""

    def is_closed(self) -> bool:
        return False


async def test_a_connection_that_is_being_opened_counts_for_whoever_looks_after_them() -> None:
    """Of four that units are opening one is there already, and idle: not another one is opened to have three."""
    asked, doors = 0, trio.Semaphore(1)

    async def connect() -> Line:
        nonlocal asked
        asked += 1
        await doors.acquire()
        return Line()

    async def unit(connections: Connections) -> None:
        await connections.admit()
        await connections.give_back(await connections.take())
        connections.leave()

    connections = Connections("general", connect, USUAL, Random(1), least=3, most=4)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(unit, connections)
        await trio.testing.wait_all_tasks_blocked()
        assert (asked, connections.figures().idle, connections.figures().in_use) == (4, 1, 3)
        nursery.start_soon(connections.tend)
        await trio.testing.wait_all_tasks_blocked()
        assert asked == 4
        for _ in range(3):
            doors.release()
    assert connections.figures().idle == 4


def test_an_idle_connection_is_kept_asked_or_closed() -> None:
    """Too old, spare for too long, silent for too long; whatever is used goes on until it is too old."""
    held = Held(None, retires_at=1000.0, used_at=100.0, heard_at=100.0)
    rules = replace(USUAL, idle_s=300.0, check_s=30.0)
    for now, spare, verdict in (
        (129.0, False, Fate.KEEP),
        (130.0, False, Fate.ASK),
        (399.0, True, Fate.ASK),
        (400.0, True, Fate.CLOSE),
        (400.0, False, Fate.ASK),
        (1000.0, False, Fate.CLOSE),
    ):
        assert fate(held, rules, spare=spare, now=now) is verdict


async def test_those_opened_together_do_not_go_together(address: str) -> None:
    """Lives differ by up to a fifth, so that no lane is ever without a connection at once."""
    async with opened(address, connections_min=4) as bridge:
        await bridge.tend()
        connections = bridge._lanes[Lane.GENERAL]  # pyright: ignore[reportPrivateUsage] # the moments are nobody else's
        lives = sorted(held.retires_at - held.heard_at for held in connections._idle)  # pyright: ignore[reportPrivateUsage]
    assert len(set(lives)) == 4
    assert 0.8 * USUAL.lifetime_s <= lives[0] < lives[-1] <= USUAL.lifetime_s


async def test_what_is_missing_is_opened_and_what_is_spare_is_closed(address: str) -> None:
    """A burst opens connections up to the maximum; a round of care returns to the minimum."""
    async with opened(address, connections_min=2, idle_s=1e-9) as bridge:
        async with all_in_use(bridge):
            pass
        assert general(bridge).idle == USUAL.connections_max
        await bridge.tend()
        assert general(bridge).idle == 2
        bridge.distrust()
        assert general(bridge).idle == 0
        await bridge.tend()
        assert general(bridge).idle == 2


async def test_a_connection_that_died_in_silence_is_found_before_a_unit_gets_it(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that does not answer when asked is replaced; the unit that comes next knows nothing of it."""
    monkeypatch.setattr(lanes_module, "CLEAN_UP_WITHIN_S", 0.2)
    async with opened(address, check_s=1e-9) as bridge:
        frozen = await bridge.run(pid)
        os.kill(frozen, signal.SIGSTOP)
        try:
            await bridge.tend()
            assert await bridge.run(pid) != frozen
        finally:
            os.kill(frozen, signal.SIGCONT)
        assert general(bridge).closed >= 1


async def test_a_session_that_was_ended_while_idle_costs_no_unit(address: str) -> None:
    """The server ends all our idle sessions: the next unit of each lane finds another one."""
    async with opened(address) as bridge, open_bridge(address, "public") as other:
        pids = [await bridge.run(pid, lane) for lane in Lane]
        ended = "SELECT count(*) FROM unnest($1::int[]) AS pid WHERE pg_terminate_backend(pid, 60000)"
        assert await other.run(lambda db: db.fetchval(ended, pids)) == len(pids)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for lane, before in zip(Lane, pids, strict=True):
            assert await bridge.run(pid, lane) != before


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
async def test_a_server_that_was_restarted_is_found_again(
    postgres_to_restart: PostgresServer, how: signal.Signals
) -> None:
    """In order, by a fall or killed: while it is away units are refused at once; when it is back they go through, and what was
    written is there.
    """
    async with opened(postgres_to_restart.address) as bridge:
        await bridge.run(count)
        async with all_in_use(bridge):
            pass
        assert general(bridge).idle == USUAL.connections_max
        await trio.to_thread.run_sync(postgres_to_restart.stop, how)
        for lane in Lane:
            with pytest.raises(StoreUnavailable):
                await bridge.run(count, lane)
        bridge.distrust()
        assert all(figures.idle == figures.in_use == 0 for figures in bridge.lanes().values())
        await trio.to_thread.run_sync(postgres_to_restart.start)
        for lane in Lane:
            await bridge.run(count, lane)
        await bridge.tend()
        assert await counted(bridge) == 5
        assert general(bridge).idle == 1


@pytest.fixture
def postgres_to_restart() -> Any:
    with restartable_postgres() as server:
        yield server


async def cancelled_at(bridge: Bridge, lane: Lane, step: int, turns: int, reached: Counter[str]) -> None:
    """A unit that is cancelled so many turns of the loop after a step of it; where it was then is counted."""
    steps = [trio.Event(), trio.Event(), trio.Event()]
    steps[0].set()
    place = "in line or beginning"

    async def unit(db: Db) -> None:
        nonlocal place
        place = "writing"
        steps[1].set()
        await db.execute("UPDATE mark SET amount = amount + 1 WHERE id = $1", list(Lane).index(lane))
        place = "waiting"
        steps[2].set()
        await db.execute("SELECT pg_sleep(60)")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run, unit, lane)
            await steps[step].wait()
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            reached[place] += 1
            scope.cancel()


@pytest.mark.slow
async def test_two_thousand_cancelled_units_leave_no_connection_behind(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in line, while beginning, writing and waiting: nothing is written, leaked or left in a transaction.

    On a busy machine many a request to cancel overtakes its query; those connections are cut, here sooner than usual.
    """
    monkeypatch.setattr(bridge_module, "CLEAN_UP_WITHIN_S", 0.1)
    rng, lanes, reached = Random(1), list(Lane), Counter[str]()

    async def cancel_some(bridge: Bridge, amount: int) -> None:
        for _ in range(amount):
            await cancelled_at(bridge, rng.choice(lanes), rng.randrange(3), rng.randrange(TURNS), reached)

    async with opened(address) as bridge:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(cancel_some, bridge, CANCELLED // 20)
        assert len(reached) == 3, reached
        assert bridge.statistics()["units"] == CANCELLED + 2
        most = {lane: OWN_CONNECTIONS.get(lane, USUAL.connections_max) for lane in Lane}
        for lane, figures in bridge.lanes().items():
            assert (figures.in_use, figures.waiting) == (0, 0)
            assert figures.opened - figures.closed == figures.idle <= most[Lane(lane)]
        assert await counted(bridge) == 0
        with trio.fail_after(HANG_S):
            async with open_bridge(address, "public") as other:
                idle = sum(figures.idle for figures in [*bridge.lanes().values(), *other.lanes().values()])
                while (await other.run(lambda db: db.fetchrow(SESSIONS), atomic=False)) != (idle - 1, 0):
                    await trio.lowlevel.checkpoint()
        async with all_in_use(bridge):
            assert general(bridge).in_use == USUAL.connections_max
