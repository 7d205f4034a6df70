"""Who waits for whom in PostgreSQL: all lock in one order, so that nobody waits in a circle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from etlplus.jobs.model import Job, NewRun
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft
from etlplus.store.contract import Outcome, Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, Db, open_bridge
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, some_runs

HANG_S = 30.0
SLOT = "SELECT FROM limit_slot WHERE key = 'customer/1' FOR UPDATE"
TOUCH = "UPDATE limit_slot SET run_id = NULL WHERE key = 'customer/1'"
LANE = "SELECT FROM lane WHERE limit_key = $1 FOR UPDATE NOWAIT"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


async def limited(store: Store) -> Job:
    await store.save_limit(LimitDraft(name="customer", slots=2), now=NOW)
    return await a_job(store, limit=LimitUse("customer", by="id"))


async def ask(store: Store, job: Job, *customers: int) -> None:
    await store.enqueue([NewRun(job_id=job.id, params={"id": customer}) for customer in customers], now=NOW)


async def until_one_waits(db: Db) -> None:
    while not await db.fetchval(WAITING):
        await db.execute("SELECT pg_sleep(0.01)")


async def in_a_unit(bridge: Bridge, unit: Callable[[Db], Awaitable[None]]) -> None:
    with trio.fail_after(HANG_S):
        await bridge.run(unit)


@pytest.mark.slow
async def test_who_enqueues_waits_for_no_slot(new_database: Callable[[], str]) -> None:
    """A claim holds slots before it locks lanes; whoever enqueues has lanes, and must not wait for those slots."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as other, trio.open_nursery() as nursery:
        job = await limited(store)
        await ask(store, job, 1)
        held, asked = trio.Event(), trio.Event()

        async def hold(db: Db) -> None:
            await db.execute(SLOT)
            await db.execute(TOUCH)
            held.set()
            while not asked.is_set():
                await db.execute("SELECT pg_sleep(0.01)")

        nursery.start_soon(in_a_unit, other, hold)
        await held.wait()
        with trio.fail_after(HANG_S):
            await ask(store, job, 1)
        asked.set()


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [1, 2])
async def test_who_finds_free_slots_locked_looks_again_soon(new_database: Callable[[], str], lanes: int) -> None:
    """Another claim may hold them for a moment and not need them; once they are free in truth, there are enough."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as other:
        await store.save_limit(LimitDraft(name=HOUSE, slots=2), now=NOW)
        await a_worker(store)
        for number in range(lanes):
            await store.save_queue(QueueDraft(name=f"q{number}"), now=NOW)
            await some_runs(store, await a_job(store, name=f"j{number}", queue=f"q{number}"), 2 // lanes)

        held, claimed = trio.Event(), trio.Event()

        async def hold(db: Db) -> None:
            await db.execute("SELECT FROM limit_slot WHERE key = '*' AND slot = 1 FOR UPDATE")
            held.set()
            while not claimed.is_set():
                await db.execute("SELECT pg_sleep(0.01)")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_a_unit, other, hold)
            await held.wait()
            some = await store.claim("w", limit=9, now=NOW)
            claimed.set()
        assert (len(some.claimed), some.held_up) == (1, True)
        assert some.next_at is not None
        rest = await store.claim("w", limit=9, now=some.next_at)
        assert (len(rest.claimed), rest.next_at) == (1, None)


@pytest.mark.slow
async def test_who_hands_slots_over_waits_for_no_rescue(new_database: Callable[[], str]) -> None:
    """A rescue has locked the worker and wants its lines, which end here: the outcomes are settled, and nothing is taken."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as other:
        await store.save_limit(LimitDraft(name=HOUSE, slots=1), now=NOW)
        await a_worker(store)
        await some_runs(store, await a_job(store), 2)
        (held,) = await a_claim(store)
        outcome = Outcome(run_id=held.run.id, attempt=held.run.attempt, worker_id="w", result=DONE)
        locked, handed = trio.Event(), trio.Event()

        async def rescue(db: Db) -> None:
            await db.execute("SELECT FROM worker FOR UPDATE")
            locked.set()
            while not handed.is_set():
                await db.execute("SELECT pg_sleep(0.01)")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_a_unit, other, rescue)
            await locked.wait()
            with trio.fail_after(HANG_S):
                answer = await store.hand_over([outcome], worker_id="w", limit=1, now=NOW)
            handed.set()
        assert ([each.applied for each in answer.settled], answer.taken.claimed) == ([True], [])


@pytest.mark.slow
async def test_who_enqueues_locks_lanes_in_the_order_of_all(new_database: Callable[[], str]) -> None:
    """While it waits for the lane that was made first, it holds no later one, whatever their names are."""
    address = new_database()
    async with open_store(address) as store, open_bridge(address, "etlplus") as other, trio.open_nursery() as nursery:
        job = await limited(store)
        await ask(store, job, 2)
        await ask(store, job, 1)
        held = trio.Event()

        async def hold(db: Db) -> None:
            await db.execute(LANE, "customer/2")
            held.set()
            await until_one_waits(db)
            await db.execute(LANE, "customer/1")

        nursery.start_soon(in_a_unit, other, hold)
        await held.wait()
        with trio.fail_after(HANG_S):
            await ask(store, job, 1, 2)
