"""Several nodes on one PostgreSQL: each with connections of its own, all at once, on the same runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime, timedelta

import pytest
import trio

from etlplus.errors import Conflict
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import JobDraft, NewRun, Worker
from etlplus.jobs.outcome import Failed, Returned, RunError
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft
from etlplus.store.contract import Claimed, Outcome, Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import DONE, NOW, a_job, a_worker, at, some_runs

NODES = 3
HOUR = timedelta(hours=1)
RUNS = 240


class Crowd:
    """Nodes that claim and settle until everything is done; what is in hand is counted by key. Each worker settles what it has
    only when it has asked for more, so that together they want twice as many slots as there are.
    """

    def __init__(self, stores: list[Store]) -> None:
        self.stores = stores
        self.in_hand: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.attempts: set[tuple[str, int]] = set()
        self.done: set[str] = set()

    async def work(self, number: int) -> None:
        store, name = self.stores[number % NODES], f"w{number}"
        await a_worker(store, name, expires_s=1e6)
        turn, held = 0, list[Claimed]()
        while len(self.done) < RUNS or held:
            turn += 1
            claimed = (await store.claim(name, limit=1 + turn % 4, now=at(1))).claimed
            self.take(claimed)
            await self.settle(store, name, turn, held)
            held = claimed

    async def settle(self, store: Store, name: str, turn: int, held: list[Claimed]) -> None:
        results = [Returned("again") if (turn + place) % 7 == 0 else DONE for place in range(len(held))]
        self.drop(held)
        outcomes = [
            Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id=name, result=result)
            for each, result in zip(held, results, strict=True)
        ]
        for settled in await store.acknowledge(outcomes, now=at(1)):
            assert settled.applied
            assert settled.run is not None
            if settled.run.state.is_final:
                self.done.add(settled.run_id)

    def take(self, claimed: list[Claimed]) -> None:
        for each in claimed:
            fence = each.run.id, each.run.attempt
            assert fence not in self.attempts, "one attempt was given to two"
            self.attempts.add(fence)
            self.in_hand.update(["*", each.run.queue, *([each.run.limit_key] if each.run.limit_key else [])])
        self.most |= self.in_hand

    def drop(self, claimed: list[Claimed]) -> None:
        """Before the store is told: what we count is never more than what the store counts."""
        for each in claimed:
            self.in_hand.subtract(["*", each.run.queue, *([each.run.limit_key] if each.run.limit_key else [])])


@pytest.mark.slow
async def test_nodes_share_the_work_and_never_exceed_a_limit(new_database: Callable[[], str]) -> None:
    """Nine workers on three nodes, under limits of the house, of a queue and of keys: every run ends once, none is stuck."""
    address = new_database()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(address)) for _ in range(NODES)]
        await stores[0].save_limit(LimitDraft(name=HOUSE, slots=11), now=NOW)
        await stores[0].save_limit(LimitDraft(name="customer", slots=2), now=NOW)
        await stores[0].save_queue(QueueDraft(name="narrow", slots=3), now=NOW)
        plain = await a_job(stores[0])
        narrow = await a_job(stores[0], name="narrow", queue="narrow")
        keyed = await a_job(stores[0], name="keyed", limit=LimitUse("customer", by="id"))
        crowd = Crowd(stores)

        async def enqueue() -> None:
            for number in range(RUNS // 8):
                store = stores[number % NODES]
                await some_runs(store, plain, 2)
                await some_runs(store, narrow, 2)
                for customer in range(4):
                    await some_runs(store, keyed, params={"id": (number + customer) % 7})

        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(enqueue)
                for number in range(9):
                    nursery.start_soon(crowd.work, number)
        assert (await stores[0].counts()).runs["succeeded"] == RUNS
        assert crowd.most["*"] <= 11
        assert crowd.most["narrow"] <= 3
        assert max(amount for key, amount in crowd.most.items() if key.startswith("customer/")) <= 2


@pytest.mark.slow
async def test_nodes_that_rescue_settle_and_cancel_at_once_agree(new_database: Callable[[], str]) -> None:
    """Of everything that can happen to a run at the same time, one thing happens, and every event has its own version."""
    address = new_database()
    async with AsyncExitStack() as stack:
        one, two, three = [await stack.enter_async_context(open_store(address)) for _ in range(NODES)]
        job = await a_job(one)
        for turn in range(10):
            (run,) = await some_runs(one, job)
            await a_worker(one, f"w{turn}", expires_s=1e6)
            (claimed,) = (await one.claim(f"w{turn}", limit=1, now=NOW)).claimed
            outcome = Outcome(run_id=run.id, attempt=claimed.run.attempt, worker_id=f"w{turn}", result=DONE)
            dead = Outcome(
                run_id=run.id, attempt=1, worker_id=f"w{turn}", result=Failed(RunError("x", "x", retryable=False))
            )

            async def cancel(run_id: str = run.id) -> None:
                with suppress(Conflict):
                    await three.cancel(run_id, now=at(1))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda outcome=outcome: one.acknowledge([outcome], now=at(1)))
                nursery.start_soon(lambda dead=dead: two.acknowledge([dead], now=at(1)))
                nursery.start_soon(lambda turn=turn: three.rescue(now=at(1), dead=[f"w{turn}"]))
                nursery.start_soon(cancel)
            versions = [event.version for event in await two.events(run.id)]
            found = await three.run(run.id)
            assert versions == list(range(1, found.version + 1))
            if not found.state.is_final:
                await one.cancel(run.id, now=at(2))
        letters = await one.dead_letters(LetterFilter())
        counted = (await one.counts()).runs
        assert counted["failed"] == len(letters)
        assert counted["failed"] + counted["succeeded"] + counted["cancelled"] == 10


async def test_no_lease_is_over_that_goes_on_by_the_clock_of_the_server(new_database: Callable[[], str]) -> None:
    """Whoever judges by a time that the server's clock does not show, or not any more, takes nothing; whom he knows to be dead he
    need not judge.
    """
    now = datetime.now(UTC)
    async with open_store(new_database()) as store:
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=now)
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=now)
        worker = Worker(
            id="w", node="n", pid=1, boot_id="", started_at=now, beat_at=now, expires_at=now + HOUR, slots=1
        )  # fmt: skip
        await store.join(worker, now=now)
        assert len((await store.claim("w", limit=1, now=now)).claimed) == 1
        assert await store.rescue(now=now + 2 * HOUR) == []
        assert [each.id for each in await store.rescue(now=now + 2 * HOUR, dead=["w"])] == [run.id]
