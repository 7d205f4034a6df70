"""Behind a pooler in transaction mode: what matters of the exam, a whole service, and nothing that lies in a session.

The pooler is one of our own kit that gives each transaction another session; where PgBouncer is installed, that too.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing
from msgspec.structs import replace

import etlplus
from etlplus.errors import Misconfigured, StoreUnavailable
from etlplus.jobs.model import JobDraft
from etlplus.settings import Engine, Postgres, Settings
from etlplus.settings.schema import Store as StoreSettings
from etlplus.store.bells import EVERYBODYS, Bell
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.pooling import USUAL
from etlplus.store.postgres import schema
from etlplus.store.postgres.bridge import Bridge, Db, Lane, open_bridge
from etlplus.testing.stores import at

sys.path.insert(0, str(Path(__file__).parent))
import test_exam
from everything import live
from pooler import Pooler, open_pooler, pgbouncer

OPTION = r"store\.postgres\.pgbouncer"
POOLED = replace(USUAL, pgbouncer=True)
LEFT_BEHIND = (
    "SELECT name FROM pg_settings WHERE source = 'session'",
    "SELECT name FROM pg_prepared_statements",
    "SELECT pg_listening_channels()",
    "SELECT locktype FROM pg_locks WHERE locktype = 'advisory'",
    "SELECT relname FROM pg_class WHERE relpersistence = 't'",
)
"""What may lie in a session, each as a query for its names."""

IMPORTANT = (
    test_exam.test_a_unique_key_makes_asking_twice_harmless,
    test_exam.test_no_run_is_given_to_two,
    test_exam.test_only_a_worker_with_a_lease_may_claim,
    test_exam.test_an_outcome_is_applied_once_and_only_from_its_holder,
    test_exam.test_a_failed_attempt_waits_comes_due_and_is_tried_until_none_is_left,
    test_exam.test_a_lost_worker_loses_its_runs_and_its_voice,
    test_exam.test_cancelling_waits_for_the_worker_only_while_it_carries,
    test_exam.test_a_schedule_fires_once_for_each_nominal_time_however_many_tick,
    test_exam.test_there_is_one_first_user,
    test_exam.test_a_cancelled_caller_leaves_no_half_of_anything,
    test_exam.test_every_transition_leaves_an_event_and_no_gap,
)
"""What of the exam is sat here: each kind of unit, several at once, and those that are cancelled."""


@pytest.fixture(params=["kit", "pgbouncer"] if shutil.which("pgbouncer") else ["kit"])
async def pooled(request: pytest.FixtureRequest, new_database: Callable[[], str]) -> AsyncGenerator[str]:
    """The address of a pooler before a new database."""
    if request.param == "pgbouncer":
        with pgbouncer(new_database()) as address:
            yield address
    else:
        async with open_pooler(new_database()) as (pooler, address):
            yield address
            assert await left_behind(pooler) == []


@pytest.fixture
async def store(pooled: str) -> AsyncGenerator[Store]:
    async with open_store(pooled, rng=Random(1), pooling=POOLED) as opened:
        yield opened


async def left_behind(pooler: Pooler) -> list[bytes]:
    """What lies in the sessions, after all clients have gone."""
    return [name for query in LEFT_BEHIND for name in await pooler.ask_all(query)]


@pytest.mark.parametrize("test", IMPORTANT, ids=lambda test: test.__name__)
async def test_the_exam_is_passed_behind_a_pooler(store: Store, test: Callable[[Store], Awaitable[None]]) -> None:
    """What the store promises holds here too."""
    await test(store)


async def test_nothing_lies_in_a_session(new_database: Callable[[], str]) -> None:
    """Two nodes work at once through three sessions: no setting, statement, lock, table or channel of theirs stays in one."""
    async with open_pooler(new_database()) as (pooler, address):
        async with (
            open_store(address, rng=Random(1), pooling=POOLED) as store,
            open_store(address, rng=Random(2), pooling=POOLED) as other,
            trio.open_nursery() as nursery,
        ):
            await live(store)
            for _ in range(5):
                for each in (store, other):
                    nursery.start_soon(partial(each.tick, now=at(300)))
                    nursery.start_soon(partial(each.claim, "w", limit=1, now=at(300)))
        assert pooler.transactions > 30
        assert await left_behind(pooler) == []


@pytest.mark.slow
async def test_a_whole_service_works_behind_a_pooler(pooled: str, tmp_path: Path) -> None:
    """A load runs to its end, with all actors at work through three sessions."""
    (tmp_path / "people.csv").write_text("name\nAda\nBlaise\n")
    sink = {"id": "table", "type": "sqlite", "input": "people", "path": "people.sqlite", "table": "people"}
    plan = {"name": "people", "sources": {"people": {"type": "csv", "path": "people.csv"}}, "sinks": [sink]}
    settings = Settings(
        data_dir=str(tmp_path / "data"),
        engine=Engine(slots=1, spares=False),
        store=StoreSettings(url=pooled, postgres=Postgres(pgbouncer=True)),
    )
    async with etlplus.open_service(settings) as service, service.events.watch() as news:
        job = await service.jobs.create(JobDraft(name="people", pipeline=plan, base_dir=str(tmp_path)))
        run = await service.runs.start(job.id)
        with trio.fail_after(60):
            while not (run := await service.runs.get(run.id)).finished:
                await anext(aiter(news))
        assert (run.state, run.figures.rows_loaded) == ("succeeded", 2)
        health = await service.system.health()
        assert [check.name for check in health.checks if check.status != "pass"] == ["wakeups"]


@pytest.mark.slow
async def test_the_schema_is_made_and_brought_up_to_date_behind_a_pooler(bare_database: Callable[[], str]) -> None:
    """From nothing, and step by step from the first version; nothing of that stays in a session."""
    async with open_pooler(bare_database()) as (pooler, address):
        async with open_bridge(address, "etlplus", POOLED) as bridge:
            for version in (1, len(schema.MIGRATIONS)):
                assert await bridge.run(partial(schema.migrate, to=version)) == version
        assert await left_behind(pooler) == []


async def test_a_pooler_that_was_restarted_is_found_again(new_database: Callable[[], str]) -> None:
    """Whatever was under way is refused and may be asked again; all lanes go through the new one, and nothing is lost."""
    direct, place, end = new_database(), Path(tempfile.mkdtemp(prefix="pooler-")), trio.Event()
    async with trio.open_nursery() as nursery, AsyncExitStack() as bridges:
        address = await nursery.start(pool, direct, place, end)
        bridge = await bridges.enter_async_context(open_bridge(address, "public", POOLED))
        await bridge.run(lambda db: db.execute("CREATE TABLE mark AS SELECT 0 AS amount"))
        async with trio.open_nursery() as units:
            for lane in Lane:
                units.start_soon(refused, bridge, lane)
            await trio.testing.wait_all_tasks_blocked(0.05)
            end.set()
        for lane in Lane:
            with pytest.raises(StoreUnavailable):
                await bridge.run(count, lane)
        async with open_pooler(direct, place=place):
            for lane in Lane:
                await bridge.run(count, lane)
            assert await bridge.run(lambda db: db.fetchval("SELECT amount FROM mark")) == len(Lane)
            await bridges.aclose()


async def pool(direct: str, place: Path, end: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    async with open_pooler(direct, place=place) as (_, address):
        task_status.started(address)
        await end.wait()


async def count(db: Db) -> None:
    await db.execute("UPDATE mark SET amount = amount + 1")


async def refused(bridge: Bridge, lane: Lane) -> None:
    """A unit that the end of its pooler cuts short."""

    async def unit(db: Db) -> None:
        await count(db)
        await db.execute("SELECT pg_sleep(60)")

    with pytest.raises(StoreUnavailable):
        await bridge.run(unit, lane)


async def test_bells_ring_through_a_pooler_and_are_heard_beside_it(new_database: Callable[[], str]) -> None:
    """With the address of the server itself to listen on; a node that has none hears nothing."""
    direct = new_database()
    async with open_pooler(direct) as (pooler, address):
        async with (
            open_store(address, pooling=replace(POOLED, listen_url=direct)) as one,
            open_store(address, pooling=POOLED) as two,
            trio.open_nursery() as nursery,
        ):
            bells, heard = trio.open_memory_channel[Bell](100)
            nursery.start_soon(one.hear, bells.send_nowait)
            two.pull(Bell.HEED)
            with trio.fail_after(40):
                while await heard.receive() is not max(EVERYBODYS):
                    pass
                await two.ring()
                assert await heard.receive() is Bell.HEED
                with pytest.raises(StoreUnavailable, match="listen_url"):
                    await two.hear(bells.send_nowait)
            nursery.cancel_scope.cancel()
        assert await left_behind(pooler) == []


@pytest.mark.parametrize("lenient", [False, True])
async def test_a_pooler_that_nobody_told_of_is_found_at_once(new_database: Callable[[], str], lenient: bool) -> None:
    """Whether it refuses our settings or ignores them: nothing is done, and the option to set is named."""
    async with open_pooler(new_database(), lenient=lenient) as (_, address):
        with pytest.raises(Misconfigured, match=OPTION):
            async with open_store(address):
                pass


async def test_pgbouncer_itself_is_found_at_once(new_database: Callable[[], str]) -> None:
    """The same for the real one, where it is installed."""
    if shutil.which("pgbouncer"):
        with pgbouncer(new_database()) as address, pytest.raises(Misconfigured, match=OPTION):
            async with open_store(address):
                pass


async def test_cancelled_units_leave_no_transaction_behind_the_pooler(pooled: str) -> None:
    """Wherever a unit is cancelled, its session is free for others, and nothing of it was written."""
    async with open_bridge(pooled, "public", POOLED) as bridge:
        await bridge.run(lambda db: db.execute("CREATE TABLE mark AS SELECT 0 AS amount"))
        for turn in range(60):
            await cancelled(bridge, list(Lane)[turn % 4], turn)
        with trio.fail_after(40):
            assert await bridge.run(lambda db: db.fetchval("SELECT amount FROM mark")) == 0
            for lane in Lane:
                await bridge.run(lambda db: db.execute("UPDATE mark SET amount = amount + 1"), lane)
        assert await bridge.run(lambda db: db.fetchval("SELECT amount FROM mark")) == 4


async def cancelled(bridge: Bridge, lane: Lane, turns: int) -> None:
    begun = trio.Event()

    async def unit(db: Db) -> None:
        begun.set()
        await db.execute("UPDATE mark SET amount = amount + 1")
        await db.execute("SELECT pg_sleep(60)")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.run, unit, lane)
        if turns % 2:
            await begun.wait()
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
