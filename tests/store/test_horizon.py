"""Who keeps dead rows from being removed is named."""

from __future__ import annotations

from collections.abc import Callable

import trio

from etlplus.store.contract import Horizon, Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Db, open_bridge


async def test_all_is_well_while_nobody_holds_a_snapshot(store: Store) -> None:
    """No culprit, no age, no dead rows."""
    assert await store.horizon() == Horizon()


async def test_a_session_that_holds_a_snapshot_is_named(new_database: Callable[[], str]) -> None:
    """By its process and its name, with the time for which it has held it; once it is gone, all is well."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as other:
        held, release = trio.Event(), trio.Event()

        async def hold(db: Db) -> int:
            await db.execute("SET LOCAL application_name = 'somebody'")
            await db.execute("INSERT INTO tally VALUES ('x', 0, 1)")
            held.set()
            while not release.is_set():
                await db.execute("SELECT 1")
            return await db.fetchval("SELECT pg_backend_pid()")

        pids: list[int] = []

        async def session() -> None:
            pids.append(await other.run(hold))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(session)
            await held.wait()
            horizon = await store.horizon()
            release.set()
        assert horizon.culprit is not None
        assert horizon.culprit.startswith(f"session {pids[0]} of etlplus (somebody)")
        assert horizon.oldest_s > 0
        assert (await store.horizon()).culprit is None
