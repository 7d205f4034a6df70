"""What tidying leaves of the history, and whom it waits for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio

from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.logs import NewLine
from etlplus.jobs.model import RunState, Uniqueness
from etlplus.jobs.outcome import Failed, RunError
from etlplus.jobs.retention import DAY_S, Keep
from etlplus.store.opening import open_store
from etlplus.store.postgres import tidying
from etlplus.store.postgres.bridge import Db, open_bridge
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, at, some_runs, told

WEEK_S = 7 * DAY_S
HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""
DEAD = Failed(RunError("bad", "no"))


LEFT = {
    "sqlite": """
        SELECT m.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.name = 'run_id'
    """,
    "postgresql": """
        SELECT c.relname AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'etlplus'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'run_id'
    """,
}


async def rows_of(url: str, run_id: str) -> dict[str, int]:
    """The tables that have rows of a run, and how many."""
    count = "SELECT count(*) FROM {} WHERE run_id = '" + run_id + "'"
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:"))) as db:
            names = [name for (name,) in db.execute(LEFT["sqlite"])]
            found = {name: db.execute(count.format(name)).fetchone()[0] for name in names}
    else:
        async with open_bridge(url, "etlplus") as bridge:
            names = [row["name"] for row in await bridge.run(lambda db: db.fetch(LEFT["postgresql"]))]
            found = {name: await bridge.run(lambda db, name=name: db.fetchval(count.format(name))) for name in names}
    return {name: amount for name, amount in found.items() if amount}


@pytest.mark.parametrize("has_week", [True, False])
async def test_no_table_has_rows_of_a_run_that_is_gone(lasting: str, has_week: bool) -> None:
    """Whether it had a week or none: events, log, key, dead letter and whatever else names it."""
    later = at(5 * WEEK_S)
    async with open_store(lasting) as store:
        if has_week:
            await store.tidy(Keep(), now=NOW)
        rule = Uniqueness(states=tuple(RunState))
        (run,) = await some_runs(store, await a_job(store), unique_key="k", unique=rule)
        await a_worker(store, expires_s=1e9)
        (claimed,) = await a_claim(store)
        await store.append_log(run.id, 1, "w", [NewLine(NOW, "x")], now=NOW)
        await told(store, claimed, DEAD)
        await store.discard(LetterFilter(), reason="old", now=later)
        assert len(await rows_of(lasting, run.id)) >= 4
        assert (await store.tidy(Keep(age_s=WEEK_S), now=later)).runs_removed == 1
        assert await rows_of(lasting, run.id) == {}


async def test_what_was_removed_makes_room_for_the_rest(tmp_path: Path) -> None:
    """A file of SQLite does not shrink; all the same no more goes than has to."""
    async with open_store(f"sqlite:{tmp_path / 's'}") as store:
        job = await a_job(store)
        for run in await some_runs(store, job, 400, params={"long": "x" * 4000}):
            await store.cancel(run.id, now=NOW)
        while (await store.tidy(Keep(age_s=None, size_bytes=1_500_000), now=at(1), limit=20)).runs_removed:
            pass
        assert 100 < (await store.counts()).runs["cancelled"] < 400


async def test_of_nodes_that_tidy_at_once_one_does_it(new_database: Callable[[], str]) -> None:
    """The others find that somebody is at it, and come back later."""
    address, held, done = new_database(), trio.Event(), trio.Event()

    async def hold(db: Db) -> None:
        assert await db.fetchval(tidying.sql.ONE_AT_A_TIME)
        held.set()
        while not done.is_set():
            await db.fetchval("SELECT 1")

    async with open_store(address) as store, open_bridge(address, "etlplus") as bridge, trio.open_nursery() as nursery:
        nursery.start_soon(bridge.run, hold)
        await held.wait()
        assert (await store.tidy(Keep(), now=NOW)).weeks_made == 0
        done.set()
    async with open_store(address) as store:
        assert (await store.tidy(Keep(), now=NOW)).weeks_made == 3


async def test_whoever_reads_the_history_for_long_is_not_waited_for_for_long(new_database: Callable[[], str]) -> None:
    """All others would wait behind the tidying; it gives up, and comes back later."""
    address, reads, gave_up = new_database(), trio.Event(), trio.Event()

    async def read(db: Db) -> None:
        await db.fetchval("SELECT count(*) FROM run")
        reads.set()
        while not gave_up.is_set():
            await db.fetchval("SELECT 1")

    with trio.fail_after(HANG_S):
        async with (
            open_store(address) as store,
            open_bridge(address, "etlplus") as bridge,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(bridge.run, read)
            await reads.wait()
            tidied = await store.tidy(Keep(), now=NOW)
            assert (tidied.weeks_made, tidied.more) == (0, True)
            gave_up.set()
    async with open_store(address) as store:
        assert (await store.tidy(Keep(), now=NOW)).weeks_made == 3
