"""Bells: what is done through one store makes others look, once for many, and only those it concerns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
import pytest
import trio
import trio.testing

from etlplus.errors import StoreUnavailable
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.outcome import Failed, Returned, RunError
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.bells import AT_FIRST, WORK_OF, Bell
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.pooling import Pooling
from etlplus.store.postgres.bridge import Bridge, open_bridge
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told

HANG_S = 20.0
"""Far more than anything here takes."""
WORK, ROOM = frozenset({Bell.WORK}), frozenset({Bell.ROOM})
CALLS, PROCESSES = frozenset({Bell.CALLS}), frozenset({Bell.PROCESSES})
PLANS, HEED = frozenset({Bell.PLANS}), frozenset({Bell.HEED})
NOTHING: frozenset[Bell] = frozenset()


async def test_runs_that_come_into_a_queue_ring_for_work(store: Store) -> None:
    """One ring for many runs; one more when a delayed run comes due, a run is returned, replayed or rescued."""
    job = await a_job(store)
    await a_worker(store)
    await a_worker(store, "lost", expires_s=30)
    await some_runs(store, job, 50)
    await some_runs(store, job, 50)
    assert await store.ring() == PROCESSES
    assert await store.ring() == NOTHING
    (claimed,) = await a_claim(store)
    await told(store, claimed, Returned("drain"))
    assert await store.ring() == PROCESSES
    (broken, lost) = await a_claim(store, limit=2)
    await told(store, broken, Failed(RunError("x", "x")))
    assert await store.ring() == NOTHING
    await store.replay(LetterFilter(), now=at(2))
    assert await store.ring() == PROCESSES
    await store.rescue(now=at(2), dead=[lost.run.worker_id or ""])
    assert await store.ring() == WORK
    await some_runs(store, job, run_at=at(60))
    assert await store.ring() == NOTHING
    await store.tick(now=at(61))
    assert await store.ring() == PROCESSES


async def test_a_ring_for_work_says_of_which_kind_the_runs_are(store: Store) -> None:
    """Those that call functions, the others, or some of each; then it is one ring, as when nobody knows."""
    load, call = await a_job(store), await a_job(store, name="call", pipeline=None, python="call")
    for jobs, rung in (([load], PROCESSES), ([call], CALLS), ([load, call], WORK), ([call, load], WORK)):
        for job in jobs:
            await some_runs(store, job)
        assert await store.ring() == rung
    await some_runs(store, call)
    store.pull(Bell.WORK)
    assert await store.ring() == WORK


async def test_a_run_that_waited_its_turn_rings_for_work(store: Store) -> None:
    """Whether the one before it ends or is cancelled; and who cancels is told which run goes on."""
    await a_job(store, schedule=IntervalSchedule(every_s=60, overlap="queue_one"))
    (first,) = await store.tick(now=at(60))
    (second,) = await store.tick(now=at(120))
    await store.ring()
    cancelled, released = await store.cancel(first.id, now=at(121))
    assert (cancelled.id, released.id, await store.ring()) == (first.id, second.id, PROCESSES)
    await a_worker(store, expires_s=600)
    (claimed,) = await a_claim(store, seconds=122)
    (third,) = await store.tick(now=at(180))
    await store.ring()
    settled = await told(store, claimed, DONE, seconds=183)
    assert settled.released is not None
    assert (settled.released.id, await store.ring()) == (third.id, PROCESSES)
    again = await told(store, claimed, DONE, seconds=184)
    assert (again.released, await store.ring()) == (settled.released, PROCESSES | ROOM), "no answer, perhaps"


async def test_slots_that_become_free_ring_for_whoever_waits_for_one(store: Store) -> None:
    """The end of a run that held one rings, for those that wait for one; the end of one that held none does not."""
    await store.save_limit(LimitDraft(name="one", slots=1), now=NOW)
    limited, free = await a_job(store, limit=LimitUse("one")), await a_job(store, name="free")
    await a_worker(store)
    for job, rung in ((limited, ROOM), (free, NOTHING)):
        await some_runs(store, job)
        (claimed,) = await a_claim(store)
        await store.ring()
        assert (await told(store, claimed, DONE)).freed == bool(rung)
        assert await store.ring() == rung


async def test_queues_and_limits_that_let_more_through_ring_for_work(store: Store) -> None:
    """Resuming a queue, and changing what a queue or a limit allows."""
    await store.save_queue(QueueDraft(name="narrow", slots=1), now=NOW)
    assert await store.ring() == WORK
    await store.set_queue_mode("narrow", QueueMode.OPEN, now=NOW)
    assert await store.ring() == WORK
    await store.save_limit(LimitDraft(name=HOUSE, slots=9), now=NOW)
    assert await store.ring() == WORK
    await store.delete_limit(HOUSE, now=NOW)
    assert await store.ring() == WORK


async def test_what_is_due_soon_rings_for_plans(store: Store) -> None:
    """A schedule that is edited, and a run that is due before anybody would look by himself."""
    job = await a_job(store)
    assert await store.ring() == NOTHING
    await a_job(store, name="timed", schedule=IntervalSchedule(every_s=60))
    assert await store.ring() == PLANS
    await some_runs(store, job, run_at=NOW + timedelta(milliseconds=500))
    assert await store.ring() == PLANS


async def test_a_wish_to_cancel_what_runs_rings_for_the_workers(store: Store) -> None:
    """Once; and the next beat says what is asked."""
    job = await a_job(store)
    await a_worker(store)
    await some_runs(store, job)
    (claimed,) = await a_claim(store)
    await store.ring()
    await store.cancel(claimed.run.id, now=NOW)
    assert await store.ring() == HEED
    assert (await store.beat("w", now=NOW, expires_at=at(20))).cancel == (claimed.run.id,)


async def test_pulling_wakes_whoever_waits_to_ring(store: Store) -> None:
    """The wait ends when something is pulled, and not before."""
    with trio.move_on_after(0) as limit:
        await store.wait_pulled()
    assert limit.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.wait_pulled)
        store.pull(Bell.TEST)
    assert await store.ring() == {Bell.TEST}


class Ear:
    """What was heard, and the wait for it."""

    def __init__(self) -> None:
        self.bells: list[Bell] = []
        self._news = trio.Event()

    def __call__(self, bell: Bell) -> None:
        self.bells.append(bell)
        self._news.set()

    async def wait_for(self, bell: Bell) -> list[Bell]:
        """All that was heard, once this bell was; it is forgotten then."""
        with trio.fail_after(HANG_S):
            while bell not in self.bells:
                self._news = trio.Event()
                await self._news.wait()
        bells, self.bells = self.bells, []
        return bells


@asynccontextmanager
async def hearing(store: Store) -> AsyncGenerator[Ear]:
    """An ear that hears already: it was told to expect the last of all bells."""
    ear = Ear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.hear, ear)
        await ear.wait_for(max(AT_FIRST))
        yield ear
        nursery.cancel_scope.cancel()


CUT_LISTENERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'etlplus-listener' AND datname = current_database()
"""


async def raises_unavailable(hear: Callable[[Ear], Awaitable[None]], ear: Ear) -> None:
    with trio.fail_after(HANG_S), pytest.raises(StoreUnavailable):
        await hear(ear)


async def test_the_test_comes_back_to_whoever_rang_it(store: Store) -> None:
    """On every store; nothing else does, where only one hears."""
    async with hearing(store) as ear:
        store.pull(Bell.WORK)
        await store.ring()
        store.pull(Bell.TEST)
        await store.ring()
        assert await ear.wait_for(Bell.TEST) == [Bell.TEST]


async def test_a_node_hears_what_others_ring_and_not_itself(new_database: Callable[[], str]) -> None:
    """Not their tests either, and nothing of what is rung in another database of the same server."""
    address = new_database()
    async with open_store(address) as one, open_store(address) as two, open_store(new_database()) as stranger:
        async with hearing(one) as first, hearing(two) as second, hearing(stranger) as third:
            for bell in (Bell.HEED, Bell.TEST):
                one.pull(bell)
            await one.ring()
            await first.wait_for(Bell.TEST)
            two.pull(Bell.PLANS)
            await two.ring()
            await first.wait_for(Bell.PLANS)
            two.pull(Bell.TEST)
            await two.ring()
            assert await second.wait_for(Bell.TEST) == [Bell.HEED, Bell.TEST]
            stranger.pull(Bell.TEST)
            await stranger.ring()
            await third.wait_for(Bell.TEST)
            assert first.bells == []


OLD_RING = "SELECT pg_notify(channel, '') FROM unnest($1::text[]) AS channel"
"""How nodes ring that know of one kind of work only."""


async def test_nodes_of_the_version_before_hear_and_are_heard(new_database: Callable[[], str]) -> None:
    """They know one bell for work, without words: they hear it whatever is said beside it, and when they ring it, or somebody
    says what nobody here knows, runs of both kinds may have come.
    """
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as old, hearing(store) as ear:
        await old.run(lambda db: db.execute(OLD_RING, ["etlplus_work"]))
        assert await ear.wait_for(Bell.WORK) == [Bell.WORK]
        await old.run(lambda db: db.execute("SELECT pg_notify('etlplus_work', 'dreams')"))
        assert await ear.wait_for(Bell.WORK) == [Bell.WORK]
        heard = Ear()
        async with trio.open_nursery() as nursery:
            await nursery.start(hear_as_before, old, address, heard)
            for bell in WORK_OF:
                store.pull(bell)
                await store.ring()
                assert await heard.wait_for(Bell.WORK) == [Bell.WORK]
            nursery.cancel_scope.cancel()


async def hear_as_before(bridge: Bridge, address: str, ear: Ear, task_status: trio.TaskStatus[None]) -> None:
    """What a node of the version before hears on the channel for work."""

    async def listen() -> None:
        db = await asyncpg.connect(address)
        try:
            await db.add_listener("etlplus_work", lambda *_: ear(Bell.WORK))
            ear(Bell.TEST)
            await asyncio.Event().wait()
        finally:
            db.terminate()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bridge.stay, listen)
        await ear.wait_for(Bell.TEST)
        task_status.started()


async def test_who_is_alone_rings_for_nobody(new_database: Callable[[], str]) -> None:
    """But for its own test; from the first beat that finds company on, everything is heard, also what was rung before."""
    address = new_database()
    async with open_store(address) as one, open_store(address) as two, hearing(one) as own, hearing(two) as ear:
        await a_worker(one, "one")
        assert not (await one.beat("one", now=NOW, expires_at=at(20))).company
        for bell in (Bell.WORK, Bell.TEST):
            one.pull(bell)
        assert await one.ring() == {Bell.WORK, Bell.TEST}
        assert await own.wait_for(Bell.TEST) == [Bell.TEST]
        await a_worker(two, "two")
        assert (await one.beat("one", now=NOW, expires_at=at(20))).company
        assert await one.ring() == WORK
        await ear.wait_for(Bell.WORK)
        one.pull(Bell.PLANS)
        await one.ring()
        assert await ear.wait_for(Bell.PLANS) == [Bell.PLANS]


async def test_what_was_rung_for_nobody_is_rung_when_somebody_is_there(new_database: Callable[[], str]) -> None:
    """Between the moment in which another joins and that in which the one who was alone learns of it, nothing gets lost; and it
    is rung once.
    """
    address = new_database()
    async with open_store(address) as one, open_store(address) as two, hearing(two) as ear:
        job = await a_job(one)
        await a_worker(one, "one")
        await one.beat("one", now=NOW, expires_at=at(20))
        await a_worker(two, "two")
        await some_runs(one, job)
        assert await one.ring() == PROCESSES
        await one.beat("one", now=NOW, expires_at=at(20))
        with trio.fail_after(HANG_S):
            await one.wait_pulled()
        assert await one.ring() == PROCESSES
        assert await ear.wait_for(Bell.PROCESSES) == [Bell.PROCESSES]
        await one.beat("one", now=NOW, expires_at=at(20))
        assert await one.ring() == NOTHING


async def test_hearing_ends_when_its_connection_is_cut(new_database: Callable[[], str]) -> None:
    """Whoever hears is told, and can hear again."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as outside:
        ear = Ear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(raises_unavailable, store.hear, ear)
            await ear.wait_for(max(AT_FIRST))
            await outside.run(lambda db: db.execute(CUT_LISTENERS))
        async with hearing(store) as ear:
            store.pull(Bell.TEST)
            await store.ring()
            await ear.wait_for(Bell.TEST)


async def test_nobody_hears_where_nobody_answers(new_database: Callable[[], str]) -> None:
    """An address to listen on that is wrong is no bell and no crash."""
    address = new_database()
    async with open_store(address, pooling=Pooling(listen_url=address.replace("host=", "host=/nowhere"))) as store:
        await raises_unavailable(store.hear, Ear())


async def test_after_a_bell_a_claim_looks_past_nothing(new_database: Callable[[], str]) -> None:
    """A run that another node queues below what was claimed last is found at once, and not with the next probe."""
    address = new_database()
    async with open_store(address) as one, open_store(address) as two:
        job = await a_job(one)
        await a_worker(two)
        async with hearing(two) as ear:
            await some_runs(one, job, seconds=5)
            await one.ring()
            await ear.wait_for(Bell.PROCESSES)
            assert len(await a_claim(two, seconds=5)) == 1
            await some_runs(one, job, seconds=1)
            await one.ring()
            await ear.wait_for(Bell.PROCESSES)
            assert len(await a_claim(two, seconds=5.1)) == 1


async def test_a_ring_with_nothing_to_ring_leaves_the_wait_alone(store: Store) -> None:
    """Whoever waits to ring hears of what is pulled afterwards."""
    pulled = trio.Event()

    async def wait() -> None:
        await store.wait_pulled()
        pulled.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert await store.ring() == NOTHING
        store.pull(Bell.WORK)
        with trio.fail_after(HANG_S):
            await pulled.wait()
