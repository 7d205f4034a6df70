"""The bridge to PostgreSQL: whatever is cancelled, closed, cut or deadlocked, nothing leaks and nobody hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from random import Random
from typing import Any

import pytest
import trio

from etlplus.errors import Invalid, Misconfigured, StoreUnavailable
from etlplus.store.opening import open_store
from etlplus.store.pooling import USUAL
from etlplus.store.postgres import bridge as bridge_module
from etlplus.store.postgres import sessions
from etlplus.store.postgres.bridge import OWN_CONNECTIONS, Bridge, Db, Lane, open_bridge

CONNECTIONS = {lane: OWN_CONNECTIONS.get(lane, USUAL.connections_max) for lane in Lane}
HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""

NEIGHBORS = """
    SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'etlplus' AND pid <> pg_backend_pid()
"""
OPEN_TRANSACTIONS = f"SELECT count(*) FROM ({NEIGHBORS} AND state <> 'idle') AS busy"


@pytest.fixture
def address(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def bridge(address: str) -> AsyncGenerator[Bridge]:
    async with open_bridge(address, "public") as opened:
        await opened.run(lambda db: db.execute("CREATE TABLE mark (id int PRIMARY KEY, amount int NOT NULL)"))
        await opened.run(lambda db: db.execute("INSERT INTO mark VALUES (1, 0), (2, 0)"))
        yield opened


def dawdle(begun: trio.Event) -> Callable[[Db], Any]:
    """A unit that writes, tells that it has begun, and then waits for far too long."""

    async def unit(db: Db) -> None:
        await db.execute("UPDATE mark SET amount = amount + 1")
        begun.set()
        await db.execute("SELECT pg_sleep(60)")

    return unit


async def amount(bridge: Bridge) -> int:
    return await bridge.run(lambda db: db.fetchval("SELECT sum(amount) FROM mark"))


async def until_quiet(bridge: Bridge) -> None:
    """Wait until no neighbor is at work. A connection that was cut is heard of by its server in its own time."""
    with trio.fail_after(HANG_S):
        while await bridge.run(lambda db: db.fetchval(OPEN_TRANSACTIONS), atomic=False):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await trio.sleep(0.02)


async def test_cancelled_units_roll_back_and_leave_every_connection_usable(bridge: Bridge) -> None:
    """Three times as many cancelled units as connections: nothing is written, no transaction is open, all lanes go on."""
    for lane, connections in CONNECTIONS.items():
        for _ in range(3 * connections):
            begun = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(bridge.run, dawdle(begun), lane)
                await begun.wait()
                nursery.cancel_scope.cancel()
    with trio.fail_after(HANG_S):
        assert await amount(bridge) == 0
        await until_quiet(bridge)
        for lane, connections in CONNECTIONS.items():
            async with trio.open_nursery() as nursery:
                for _ in range(connections):
                    nursery.start_soon(bridge.run, lambda db: db.execute("SELECT 1"), lane)


@pytest.mark.slow
async def test_a_lost_request_to_cancel_leaves_no_lock_behind(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL never hears that the query is cancelled: the connection is cut, and its locks go with it."""

    async def lost(**_: Any) -> None:
        pass

    monkeypatch.setattr("asyncpg.connect_utils._cancel", lost)
    begun = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.run, dawdle(begun))
        await begun.wait()
        nursery.cancel_scope.cancel()
    monkeypatch.undo()
    with trio.fail_after(HANG_S):
        await bridge.run(lambda db: db.execute("UPDATE mark SET amount = amount + 1"))
    assert await amount(bridge) == 2
    assert bridge.statistics()["connections_cut"] >= 1


@pytest.mark.slow
async def test_a_unit_cancelled_at_any_moment_takes_effect_wholly_or_not_at_all(bridge: Bridge) -> None:
    """Cut after 0, 1, 2, … turns of the loop, two writes of one unit are both there or neither is."""

    async def twice(db: Db) -> None:
        await db.execute("UPDATE mark SET amount = amount + 1 WHERE id = 1")
        await db.execute("UPDATE mark SET amount = amount + 1 WHERE id = 2")

    async def cancel_after(turns: int, scope: trio.CancelScope) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    finished = 0
    for turns in range(0, 200, 4):
        with trio.fail_after(HANG_S), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cancel_after, turns, scope)
                await bridge.run(twice)
                finished += 1
    one, two = await bridge.run(lambda db: db.fetch("SELECT amount FROM mark ORDER BY id"))
    assert one == two
    assert one["amount"] >= finished
    await until_quiet(bridge)


async def test_closing_ends_a_pending_query_as_unavailable(address: str) -> None:
    """Whoever waits for an answer when the body closes hears so; nobody waits on a loop that is gone."""
    begun = trio.Event()
    refused: list[str] = []

    async def ask(bridge: Bridge) -> None:
        async def unit(db: Db) -> None:
            begun.set()
            await db.execute("SELECT pg_sleep(60)")

        with pytest.raises(StoreUnavailable, match="closed") as caught:
            await bridge.run(unit)
        refused.append(caught.value.message)

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            async with open_bridge(address, "public") as bridge:
                nursery.start_soon(ask, bridge)
                await begun.wait()
        with pytest.raises(StoreUnavailable, match="closed"):
            await bridge.run(lambda db: db.execute("SELECT 1"))
    assert len(refused) == 1


async def test_a_body_that_is_cancelled_still_ends_its_callers_and_itself(address: str) -> None:
    """Cancelling the task that holds the store open, or a crash in it, ends pending queries too; the error is unwrapped."""
    for ending in ("cancel", "crash"):
        begun = trio.Event()
        outcomes: list[type[BaseException]] = []

        async def ask(bridge: Bridge, begun: trio.Event = begun, outcomes: list[Any] = outcomes) -> None:
            async def unit(db: Db) -> None:
                begun.set()
                await db.execute("SELECT pg_sleep(60)")

            with pytest.raises(StoreUnavailable) as caught:
                await bridge.run(unit)
            outcomes.append(type(caught.value))

        async def hold(nursery: trio.Nursery, ending: str = ending, begun: trio.Event = begun) -> None:
            with trio.CancelScope() as scope:
                async with open_bridge(address, "public") as bridge:
                    nursery.start_soon(ask, bridge)
                    await begun.wait()
                    if ending == "crash":
                        raise LookupError("boom")
                    scope.cancel()
                    await trio.sleep_forever()

        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                if ending == "crash":
                    with pytest.raises(LookupError, match="boom"):
                        await hold(nursery)
                else:
                    await hold(nursery)
        assert outcomes == [StoreUnavailable]


async def test_a_cut_connection_is_unavailable_once_and_then_replaced(bridge: Bridge) -> None:
    """When the server ends our sessions, the unit in hand is told so, and the next ones find new connections."""
    begun = trio.Event()
    told: list[str] = []

    async def ask() -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await bridge.run(dawdle(begun))
        told.append(caught.value.reason)

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await begun.wait()
            terminate = f"SELECT count(pg_terminate_backend(pid)) FROM ({NEIGHBORS}) AS sessions"
            await bridge.run(lambda db: db.fetchval(terminate), atomic=False)
        assert told == ["store_unavailable"]
        for lane in Lane:
            for _ in range(CONNECTIONS[lane] + 1):
                try:
                    await bridge.run(lambda db: db.execute("SELECT 1"), lane)
                except StoreUnavailable:
                    continue
        assert await amount(bridge) == 0


async def test_a_deadlock_is_nobodys_error(bridge: Bridge) -> None:
    """Two units that wait for each other: PostgreSQL ends one, the bridge tries it again, both take effect once."""
    met = [trio.Event(), trio.Event()]

    def unit(mine: int, other: int) -> Callable[[Db], Any]:
        async def lock_both(db: Db) -> None:
            await db.execute("UPDATE mark SET amount = amount + 1 WHERE id = $1", mine)
            met[mine - 1].set()
            while not met[other - 1].is_set():
                await db.execute("SELECT 1")
            await db.execute("UPDATE mark SET amount = amount + 1 WHERE id = $1", other)

        return lock_both

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run, unit(1, 2))
            nursery.start_soon(bridge.run, unit(2, 1))
    assert await amount(bridge) == 4
    assert bridge.statistics()["tries_again"] >= 1


async def test_a_deadlock_that_does_not_end_is_unavailable(bridge: Bridge) -> None:
    """After a few tries the caller is told to try later, and not what PostgreSQL said."""
    tries: list[int] = []

    async def unlucky(db: Db) -> None:
        tries.append(1)
        await db.execute("UPDATE mark SET amount = amount + 1")
        await db.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'deadlock_detected'; END $$")

    with pytest.raises(StoreUnavailable):
        await bridge.run(unlucky)
    assert len(tries) > 1
    assert await amount(bridge) == 0


async def test_a_busy_general_lane_delays_no_heartbeat(bridge: Bridge) -> None:
    """With every general connection waiting, beat, claim and acknowledgement still have theirs."""
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            for _ in range(CONNECTIONS[Lane.GENERAL] + 2):
                nursery.start_soon(bridge.run, lambda db: db.execute("SELECT pg_sleep(60)"))
            for lane in (Lane.BEAT, Lane.CLAIM, Lane.SETTLE):
                await bridge.run(lambda db: db.execute("SELECT 1"), lane)
            nursery.cancel_scope.cancel()
        await until_quiet(bridge)


async def test_no_answer_in_time_is_unavailable(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is silent for too long does not hold its caller."""
    monkeypatch.setattr(bridge_module, "ANSWER_WITHIN_S", 0.05)
    with pytest.raises(StoreUnavailable, match="did not answer"):
        await bridge.run(lambda db: db.execute("SELECT pg_sleep(60)"))
    monkeypatch.undo()
    await until_quiet(bridge)


async def test_a_server_that_only_reads_is_unavailable(bridge: Bridge) -> None:
    """Whoever comes to a standby amid its promotion is told to try later, as during any outage."""

    async def write(db: Db) -> None:
        await db.execute("SET TRANSACTION READ ONLY")
        await db.execute("UPDATE mark SET amount = amount + 1")

    with pytest.raises(StoreUnavailable, match="read-only"):
        await bridge.run(write)
    assert await amount(bridge) == 0


async def test_a_process_that_stands_still_amid_a_unit_holds_nobody_up(
    bridge: Bridge, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its locks are the others' after a while, and when it goes on, it is told that its unit did not take effect."""
    patience = await bridge.run(lambda db: db.fetchval("SHOW idle_in_transaction_session_timeout"))
    assert patience == "10s"
    monkeypatch.setattr(sessions, "FROZEN_AFTER_MS", 50)
    locked, others_done = trio.Event(), trio.Event()

    async def stand_still(db: Db) -> None:
        await db.execute("UPDATE mark SET amount = amount + 100")
        locked.set()
        while not others_done.is_set():  # noqa: ASYNC110 - it stands still in asyncio, the others act in Trio
            await asyncio.sleep(0.01)
        await db.execute("UPDATE mark SET amount = amount + 100")

    async def be_frozen(frozen: Bridge) -> None:
        with pytest.raises(StoreUnavailable):
            await frozen.run(stand_still)

    with trio.fail_after(HANG_S):
        async with open_bridge(address, "public") as frozen, trio.open_nursery() as nursery:
            nursery.start_soon(be_frozen, frozen)
            await locked.wait()
            await bridge.run(lambda db: db.execute("UPDATE mark SET amount = amount + 1"))
            others_done.set()
        assert await amount(bridge) == 2


async def test_an_address_that_cannot_be_used_says_why(address: str) -> None:
    """Nobody there is unavailable; a wrong database is the operator's to mend; both name what was wrong."""
    folder = address.partition("host=")[2]
    with pytest.raises(StoreUnavailable):
        async with open_store(f"postgresql://etlplus@/store?host={folder}/nowhere"):
            pass
    with pytest.raises(Misconfigured, match="nothing_here"):
        async with open_store(f"postgresql://etlplus@/nothing_here?host={folder}"):
            pass


async def test_a_newer_schema_is_refused(address: str) -> None:
    """A database that a newer program has migrated is left alone."""
    async with open_store(address) as store:
        assert await store.migrate() == (await store.statistics()).schema_version
    async with open_bridge(address, "etlplus") as bridge:
        await bridge.run(lambda db: db.execute("INSERT INTO schema_version VALUES (99)"))
    with pytest.raises(Misconfigured, match="newer"):
        async with open_store(address):
            pass


async def test_nodes_that_start_together_migrate_once(address: str) -> None:
    """Four nodes open an empty database at once; all of them work."""

    async def node(seed: int) -> None:
        async with open_store(address, rng=Random(seed)) as store:
            await store.ping()

    async with trio.open_nursery() as nursery:
        for seed in range(4):
            nursery.start_soon(node, seed)


async def test_what_postgresql_cannot_keep_is_invalid(bridge: Bridge) -> None:
    """A text that got this far and cannot be kept is the caller's to mend, and no outage of the store."""
    with pytest.raises(Invalid, match="cannot keep"):
        await bridge.run(lambda db: db.execute("SELECT $1::text", "a\0b"))
    assert await amount(bridge) == 0
