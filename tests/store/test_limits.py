"""The exam on limits and labels: never too many at once, never a free slot unused, and only workers that can."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from etlplus.errors import Conflict, Invalid
from etlplus.jobs.model import Uniqueness
from etlplus.jobs.outcome import Returned
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft
from etlplus.store.contract import Claimed, Store
from etlplus.testing.stores import BROKEN, DONE, NOW, a_claim, a_job, a_worker, all_told, at, some_runs, told


async def test_the_house_has_a_limit_over_everything(store: Store) -> None:
    """At most so many runs at once, from whatever queue."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=3), now=NOW)
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    await some_runs(store, await a_job(store), 3)
    await some_runs(store, await a_job(store, name="b", queue="other"), 3)
    await a_worker(store)
    held = await a_claim(store, limit=9)
    assert len(held) == 3
    assert await a_claim(store, limit=9) == []
    await all_told(store, held)
    assert len(await a_claim(store, limit=9)) == 3


async def test_a_claim_says_whether_runs_may_wait_for_a_slot(store: Store) -> None:
    """As long as more are queued than it could take; not when all were taken, or of their kind there are none."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=2), now=NOW)
    await store.save_queue(QueueDraft(name="narrow", slots=1), now=NOW)
    await a_worker(store)
    assert not (await store.claim("w", limit=9, now=NOW)).held_up
    await some_runs(store, await a_job(store), 3)
    first = await store.claim("w", limit=9, now=NOW)
    second = await store.claim("w", limit=9, now=NOW)
    assert (len(first.claimed), first.held_up, len(second.claimed), second.held_up) == (2, True, 0, True)
    assert not (await store.claim("w", limit=9, now=NOW, calls=True)).held_up
    await all_told(store, first.claimed)
    third = await store.claim("w", limit=9, now=NOW)
    assert (len(third.claimed), third.held_up) == (1, False)
    await some_runs(store, await a_job(store, name="n", queue="narrow"), 2)
    assert [(len(taken.claimed), taken.held_up) for taken in [await store.claim("w", limit=9, now=NOW)]] == [(1, True)]


async def test_what_one_claim_leaves_of_a_large_limit_the_next_one_takes(store: Store) -> None:
    """Whoever goes on while there is more has all the slots."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=75), now=NOW)
    await some_runs(store, await a_job(store), 200)
    await a_worker(store)
    taken = await store.claim("w", limit=100, now=NOW)
    held = len(taken.claimed)
    while taken.more:
        taken = await store.claim("w", limit=100, now=NOW)
        held += len(taken.claimed)
    assert (held, taken.held_up) == (75, True)
    assert await a_claim(store, limit=100) == []


async def test_keys_that_are_used_up_are_told_of_too(store: Store) -> None:
    """Whether or not the claim has looked at them."""
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("customer", by="id")), 2, params={"id": 1})
    await a_worker(store)
    assert (await store.claim("w", limit=9, now=NOW)).held_up
    assert (await store.claim("w", limit=9, now=NOW)).held_up


async def test_a_lowered_limit_is_kept_while_runs_above_it_go_on(store: Store) -> None:
    """Of one lane or of several: what is in hand counts, wherever its slots lie."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=5), now=NOW)
    job = await a_job(store)
    await some_runs(store, job, 20)
    await a_worker(store)
    held = await a_claim(store, limit=9)
    await store.save_limit(LimitDraft(name=HOUSE, slots=3), now=NOW)
    assert await a_claim(store, limit=9) == []
    await all_told(store, held[:3])
    (one,) = await a_claim(store, limit=9)
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    await some_runs(store, await a_job(store, name="b", queue="other"), 3)
    await told(store, held[3], DONE)
    assert len(await a_claim(store, limit=9)) == 1
    await told(store, held[4], DONE)
    await told(store, one, DONE)
    assert len(await a_claim(store, limit=9)) == 2


async def test_each_value_of_a_parameter_has_slots_of_its_own(store: Store) -> None:
    """A limit by parameter holds for each value; a run of another value is not held up."""
    await store.save_limit(LimitDraft(name="customer", slots=2), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    for customer in (1, 1, 1, 2, "x", 1):
        await some_runs(store, job, params={"id": customer})
    await a_worker(store)
    held = await a_claim(store, limit=9)
    assert [each.run.params["id"] for each in held] == [1, 1, 2, "x"]
    assert {each.run.limit_key for each in held} == {"customer/1", "customer/2", "customer/x"}
    await told(store, held[0], DONE)
    (fifth,) = await a_claim(store, limit=9)
    assert fifth.run.params["id"] == 1
    assert await a_claim(store, limit=9) == []


async def test_jobs_that_share_a_limit_share_its_slots(store: Store) -> None:
    """Without a parameter there is one key for all; two lanes under one key never take the same slot twice."""
    await store.save_limit(LimitDraft(name="api", slots=3), now=NOW)
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    one = await a_job(store, limit=LimitUse("api"))
    two = await a_job(store, name="two", queue="other", limit=LimitUse("api"))
    await some_runs(store, one, 2)
    await some_runs(store, two, 2, seconds=1)
    await a_worker(store)
    held = await a_claim(store, limit=9, seconds=1)
    assert Counter(each.run.job_name for each in held) == {"job": 2, "two": 1}
    await all_told(store, held)
    assert len(await a_claim(store, limit=9, seconds=1)) == 1


@pytest.mark.parametrize("ending", ["failed for good", "tried again", "given back", "cancelled", "rescued", "left"])
async def test_however_an_attempt_ends_its_slot_is_free(store: Store, ending: str) -> None:
    """The statement that ends the attempt frees the slot, whatever the end."""
    await store.save_limit(LimitDraft(name="api", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("api"))
    await some_runs(store, job, 2)
    await a_worker(store, expires_s=100)
    (held,) = await a_claim(store, limit=9)
    if ending == "failed for good":
        await told(store, held, type(BROKEN)(type(BROKEN.error)("x", "x")))
    elif ending == "tried again":
        await told(store, held, BROKEN)
    elif ending == "given back":
        await told(store, held, Returned("drain"))
    elif ending == "cancelled":
        await store.cancel(held.run.id, now=NOW)
        await told(store, held, Returned("cancelled meanwhile"))
    elif ending == "rescued":
        await store.rescue(now=NOW, dead=["w"])
    else:
        await store.leave("w", now=NOW)
    await a_worker(store, expires_s=100)
    assert len(await a_claim(store, limit=9, seconds=2)) == 1
    assert await a_claim(store, limit=9, seconds=2) == []


async def test_what_is_cancelled_while_it_waits_holds_nothing(store: Store) -> None:
    """A queued run has no slot, and its end changes nothing for the others."""
    await store.save_limit(LimitDraft(name="api", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("api"))
    first, second = await some_runs(store, job, 2)
    await a_worker(store)
    await store.cancel(first.id, now=NOW)
    assert [each.run.id for each in await a_claim(store, limit=9)] == [second.id]


async def test_a_raised_limit_is_used_at_once(store: Store) -> None:
    """More slots for keys that are there already, and fewer count what is in hand."""
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    await some_runs(store, job, 5, params={"id": 1})
    await a_worker(store)
    held = await a_claim(store, limit=9)
    assert await a_claim(store, limit=9) == []
    await store.save_limit(LimitDraft(name="customer", slots=3), now=NOW)
    held += await a_claim(store, limit=9)
    assert len(held) == 3
    await store.save_limit(LimitDraft(name="customer", slots=2), now=NOW)
    await told(store, held[0], DONE)
    assert await a_claim(store, limit=9) == []
    await all_told(store, held[1:])
    assert len(await a_claim(store, limit=9)) == 2
    assert [(each.name, each.slots) for each in await store.limits()] == [("customer", 2)]


async def test_a_limit_counts_by_the_default_of_a_parameter(store: Store) -> None:
    """Of a run that does not give it, whether it is declared in short or in full; without a default it is refused."""
    await store.save_limit(LimitDraft(name="api", slots=1), now=NOW)
    use = LimitUse("api", by="tenant")
    for name, declared in (("short", "north"), ("full", {"type": "integer", "default": 7})):
        job = await a_job(store, name=name, limit=use, pipeline={"sources": {}, "params": {"tenant": declared}})
        (run,) = await some_runs(store, job)
        (own,) = await some_runs(store, job, params={"tenant": declared if name == "short" else 8}, unique_key=name)
        assert (run.limit_key, own.limit_key) == {
            "short": ("api/north", "api/north"), "full": ("api/7", "api/8"),
        }[name]  # fmt: skip
        (changed,) = await some_runs(store, job, unique_key=name, unique=Uniqueness(on_conflict="replace"))
        assert (changed.id, changed.limit_key) == (own.id, run.limit_key)
    needy = await a_job(store, name="needy", limit=use, pipeline={"sources": {}, "params": {"tenant": {}}})
    with pytest.raises(Invalid):
        await some_runs(store, needy)


async def test_a_limit_in_use_is_not_deleted(store: Store) -> None:
    """It goes when no job names it and no unfinished run counts against it."""
    await store.save_limit(LimitDraft(name="api", slots=1), now=NOW)
    jobs = [await a_job(store, name=f"job{number}", limit=LimitUse("api")) for number in range(7)]
    (run,) = await some_runs(store, jobs[0])
    with pytest.raises(Conflict) as refused:
        await store.delete_limit("api", now=NOW)
    assert refused.value.reason == "limit_in_use"
    assert refused.value.message.endswith("named by the jobs 'job0', 'job1', 'job2', 'job3', 'job4' and others")
    await store.cancel(run.id, now=NOW)
    for job in jobs:
        await store.delete_job(job.id, now=NOW)
    await store.delete_limit("api", now=NOW)
    assert await store.limits() == []
    with pytest.raises(Invalid):
        await a_job(store, name="other", limit=LimitUse("api"))


@pytest.mark.slow
async def test_however_many_claim_at_once_no_limit_is_exceeded(store: Store) -> None:
    """Six workers claim and end attempts as fast as they can: never more than the slots, and everything gets done."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=7), now=NOW)
    await store.save_limit(LimitDraft(name="customer", slots=2), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    for number in range(60):
        await some_runs(store, job, params={"id": number % 5})
    in_hand: Counter[str] = Counter()
    done: set[str] = set()

    async def work(name: str) -> None:
        await a_worker(store, name, expires_s=1000)
        while len(done) < 60:
            claimed = (await store.claim(name, limit=3, now=at(1))).claimed
            note(claimed)
            await trio.lowlevel.checkpoint()
            for each in claimed:
                in_hand[each.run.limit_key] -= 1
                done.add(each.run.id)
            if claimed:
                await all_told(store, claimed)

    def note(claimed: list[Claimed]) -> None:
        in_hand.update(each.run.limit_key for each in claimed)
        assert max(in_hand.values(), default=0) <= 2
        assert in_hand.total() <= 7

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(work, f"w{number}")
    assert (await store.counts()).runs["succeeded"] == 60


async def test_more_saturated_keys_than_a_claim_looks_at_hide_nothing(store: Store) -> None:
    """A hundred keys without a free slot stand in front; the run of a free key behind them is claimed all the same."""
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    for number in range(100):
        await some_runs(store, job, 3, params={"id": number})
    await a_worker(store)
    taken = [each for _ in range(3) for each in await a_claim(store, limit=200)]
    assert len(taken) == len({each.run.limit_key for each in taken}) == 100
    await some_runs(store, job, params={"id": "free"}, seconds=5)
    assert [each.run.params["id"] for each in await a_claim(store, limit=200, seconds=5)] == ["free"]


async def test_only_a_worker_with_the_labels_gets_the_run(store: Store) -> None:
    """Every label that the run asks for; what the worker can do besides does not matter."""
    plain, heavy = await a_job(store), await a_job(store, name="heavy", labels=("gpu", "big"))
    (hard,) = await some_runs(store, heavy)
    (easy,) = await some_runs(store, plain, seconds=1)
    await a_worker(store, "a", labels=["gpu"])
    await a_worker(store, "b", labels=["big", "fast", "gpu"])
    assert [each.run.id for each in await a_claim(store, worker="a", limit=9, seconds=1)] == [easy.id]
    assert [each.run.id for each in await a_claim(store, worker="b", limit=9, seconds=1)] == [hard.id]
    assert {worker.id: worker.labels for worker in await store.workers()}["b"] == ("big", "fast", "gpu")


async def test_rank_goes_over_lanes(store: Store) -> None:
    """From several queues and keys, the earliest go first; a step of priority weighs as much as a minute of waiting."""
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    a, b = await a_job(store, priority=1), await a_job(store, name="b", queue="other")
    (late,) = await some_runs(store, a)
    (early,) = await some_runs(store, b, seconds=59)
    (last,) = await some_runs(store, b, seconds=61)
    await a_worker(store, expires_s=1000)
    order = [each.run.id for _ in range(3) for each in await a_claim(store, seconds=61)]
    assert order == [early.id, late.id, last.id]


async def test_the_priority_of_a_run_takes_the_place_of_its_jobs(store: Store) -> None:
    """It ranks by its own, before or behind the others of its job."""
    job = await a_job(store, priority=5)
    (plain,) = await some_runs(store, job)
    (first,) = await some_runs(store, job, priority=0, seconds=1)
    (last,) = await some_runs(store, job, priority=9)
    assert [run.priority for run in (plain, first, last)] == [5, 0, 9]
    await a_worker(store, expires_s=1000)
    order = [each.run.id for _ in range(3) for each in await a_claim(store, seconds=1)]
    assert order == [first.id, plain.id, last.id]
