"""The exam on explanations: whatever keeps a run from running is told as a fact, and nothing else is."""

from __future__ import annotations

import pytest

from etlplus.errors import NotFound
from etlplus.jobs.explaining import (
    Behind,
    Ending,
    Fact,
    InHand,
    NotDue,
    NoWorker,
    Over,
    QueuePaused,
    SlotsTaken,
    WorkersBusy,
)
from etlplus.jobs.model import RunState
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.store.contract import Store
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told


async def facts(store: Store, run_id: str, seconds: float = 0) -> list[Fact]:
    return list((await store.explain(run_id, now=at(seconds))).facts)


async def test_a_run_that_the_next_claim_will_take_has_nothing_in_its_way(store: Store) -> None:
    """No fact at all, and the claim takes it; the one behind it is told how many go first."""
    first, second = await some_runs(store, await a_job(store), 2)
    await a_worker(store)
    assert await facts(store, first.id) == []
    assert await facts(store, second.id) == [Behind(1)]
    assert [each.run.id for each in await a_claim(store)] == [first.id]


async def test_it_tells_of_time_and_of_the_end(store: Store) -> None:
    """Not due, in hand, asked to end, over; a run that does not exist is not explained."""
    job = await a_job(store)
    (later,) = await some_runs(store, job, run_at=at(60))
    (run,) = await some_runs(store, job)
    await a_worker(store)
    assert await facts(store, later.id) == [NotDue(at(60))]
    (claimed,) = await a_claim(store, seconds=2)
    assert await facts(store, run.id) == [InHand("w", at(2))]
    await store.cancel(run.id, now=at(3))
    assert await facts(store, run.id) == [InHand("w", at(2)), Ending(at(3))]
    await told(store, claimed, DONE)
    assert await facts(store, run.id) == [Over(RunState.SUCCEEDED)]
    with pytest.raises(NotFound):
        await store.explain("nothing", now=NOW)


async def test_it_tells_of_the_workers(store: Store) -> None:
    """None at all, none with the labels, none whose lease goes on, all of them full."""
    (run,) = await some_runs(store, await a_job(store, labels=("gpu",)))
    others = await some_runs(store, await a_job(store, name="b"), 2)
    assert await facts(store, run.id) == [NoWorker(("gpu",), 0)]
    await a_worker(store, "plain")
    assert await facts(store, run.id) == [NoWorker(("gpu",), 1)]
    await a_worker(store, "strong", labels=["gpu"])
    assert await facts(store, run.id) == []
    assert await facts(store, run.id, seconds=20) == [NoWorker(("gpu",), 0)]
    assert len((await store.claim("strong", limit=1, now=NOW)).claimed) == 1
    (again,) = await some_runs(store, await a_job(store, name="c", labels=("gpu",)))
    assert await facts(store, again.id) == []
    assert {each.run.id for each in (await store.claim("strong", limit=1, now=NOW)).claimed} == {others[0].id}
    assert await facts(store, again.id) == [WorkersBusy(("strong",))]


async def test_it_tells_of_slots_and_who_holds_them(store: Store) -> None:
    """House, queue and limit, each with its holders; a key of its own that is free is no fact."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=1), now=NOW)
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    await store.save_queue(QueueDraft(name="q", slots=1), now=NOW)
    job = await a_job(store, queue="q", limit=LimitUse("customer", by="id"))
    (first,) = await some_runs(store, job, params={"id": 1})
    (second,) = await some_runs(store, job, params={"id": 1})
    (third,) = await some_runs(store, job, params={"id": 2})
    await a_worker(store)
    await a_claim(store)
    held = (first.id,)
    house, queue = SlotsTaken("house", "*", 1, 1, held), SlotsTaken("queue", "/queue/q", 1, 1, held)
    assert await facts(store, second.id) == [house, queue, SlotsTaken("limit", "customer/1", 1, 1, held)]
    assert await facts(store, third.id) == [house, queue]


async def test_it_tells_everything_at_once(store: Store) -> None:
    """A paused queue hides neither the missing worker nor the runs in front."""
    job = await a_job(store)
    _, run = await some_runs(store, job, 2)
    await store.set_queue_mode("default", QueueMode.PAUSED, now=NOW)
    assert await facts(store, run.id) == [QueuePaused("default"), NoWorker((), 0), Behind(1)]
