"""What a store on PostgreSQL does before anybody asks, so that the first runs of a service need not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
import trio

from etlplus.store.opening import open_store
from etlplus.store.pooling import USUAL
from etlplus.store.postgres.body import open_postgres
from etlplus.store.postgres.bridge import OWN_CONNECTIONS, Db, Lane
from etlplus.store.postgres.sql import claims, runs
from etlplus.testing.stores import a_claim, a_job, a_worker, some_runs

PREPARED = "SELECT statement FROM pg_prepared_statements"
HOT = {
    Lane.GENERAL: {runs.PUT_PLAIN_RUNS},
    Lane.CLAIM: {claims.LOOK_AND_TAKE},
    Lane.SETTLE: {runs.FINISH, claims.HAND_OVER},
}


@pytest.mark.parametrize("lane", HOT)
async def test_the_statements_of_the_hot_path_are_prepared(new_database: Callable[[], str], lane: Lane) -> None:
    """Each on the connection that will need it."""
    prepared: list[set[str]] = []

    async def look(db: Db) -> None:
        prepared.append({row["statement"] for row in await db.fetch(PREPARED)})

    async with open_postgres(new_database(), Random(1), USUAL) as store:
        async with trio.open_nursery() as nursery:  # at once, so that each is carried by another connection
            for _ in range(OWN_CONNECTIONS.get(lane, 1)):
                nursery.start_soon(store._bridge.run, look, lane)
    assert all(HOT[lane] <= each for each in prepared)


async def test_preparing_changes_nothing(new_database: Callable[[], str]) -> None:
    """Whoever opens a store in which runs wait and are carried finds them as they were."""
    address = new_database()
    async with open_store(address) as store:
        job = await a_job(store)
        await some_runs(store, job, 2)
        await a_worker(store)
        await a_claim(store)
        before = await store.runs()
        async with open_store(address):
            pass
        assert await store.runs() == before
        assert (await store.counts()).runs["queued"] == 1
