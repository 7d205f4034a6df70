"""The exam on rates: no more runs begin than a limit's rate allows, none waits longer than it must, and it is told why."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from fractions import Fraction
from random import Random

import pytest
import trio

from etlplus.jobs.explaining import Behind, RateSpent
from etlplus.jobs.outcome import Returned
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueMode
from etlplus.jobs.rates import Rate
from etlplus.jobs.retention import Keep
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, all_told, at, some_runs, told

TWO_A_SECOND = Rate(count=2, per_s=1, burst=3)


async def taken(store: Store, *, limit: int = 99, seconds: float = 0) -> int:
    """How many runs a claim gets; they are done at once."""
    claimed = await a_claim(store, limit=limit, seconds=seconds)
    await all_told(store, claimed, seconds=seconds)
    return len(claimed)


async def next_at(store: Store, seconds: float = 0) -> datetime | None:
    return (await store.claim("w", limit=99, now=at(seconds))).next_at


@pytest.mark.parametrize("name", [HOUSE, "api"])
async def test_runs_begin_no_quicker_than_the_rate(store: Store, name: str) -> None:
    """A burst at first, then one for each token; half a token is none, and none is lost."""
    await store.save_limit(LimitDraft(name=name, rate=TWO_A_SECOND), now=NOW)
    job = await a_job(store, limit=None if name == HOUSE else LimitUse(name))
    await some_runs(store, job, 20)
    await a_worker(store, expires_s=1e9)
    assert [await taken(store, seconds=seconds) for seconds in (0, 0.25, 0.5, 1.25, 1.5)] == [3, 0, 1, 1, 1]
    assert await taken(store, limit=2, seconds=100) == 2
    assert await taken(store, seconds=100) == 1
    assert [(each.name, each.slots, each.rate) for each in await store.limits()] == [(name, None, TWO_A_SECOND)]


async def test_each_key_has_a_rate_of_its_own_beside_the_one_of_the_house(store: Store) -> None:
    """A run needs a token of both; the key that has none left holds up no other."""
    await store.save_limit(LimitDraft(name=HOUSE, rate=Rate(count=5, per_s=60)), now=NOW)
    await store.save_limit(LimitDraft(name="customer", rate=Rate(count=2, per_s=60)), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    for customer in (1, 1, 1, 2, 2, 2, 3):
        await some_runs(store, job, params={"id": customer})
    await a_worker(store)
    held = await a_claim(store, limit=99)
    assert [each.run.params["id"] for each in held] == [1, 1, 2, 2, 3]


async def test_a_rate_and_slots_hold_together(store: Store) -> None:
    """Whichever is used up first; a slot that is freed brings no token, and a token no slot."""
    await store.save_limit(LimitDraft(name="api", slots=2, rate=Rate(count=1, per_s=10, burst=3)), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("api")), 9)
    await a_worker(store, expires_s=1e9)
    held = await a_claim(store, limit=99)
    assert len(held) == 2
    assert await a_claim(store, limit=99, seconds=100) == []
    await all_told(store, held, seconds=100)
    held = await a_claim(store, limit=99, seconds=100)
    assert len(held) == 2
    await told(store, held[0], DONE, seconds=100)
    held = [held[1], *await a_claim(store, limit=99, seconds=100)]
    assert len(held) == 2
    await all_told(store, held, seconds=100)
    assert await a_claim(store, limit=99, seconds=109) == []
    assert len(await a_claim(store, limit=99, seconds=110)) == 1


async def test_a_claim_says_when_the_next_token_comes(store: Store) -> None:
    """Of all keys that runs wait for, the first; nothing when none waits."""
    await store.save_limit(LimitDraft(name="customer", rate=Rate(count=1, per_s=60)), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    await a_worker(store, expires_s=1e9)
    assert await next_at(store) is None
    await some_runs(store, job, 2, params={"id": 1})
    assert await next_at(store) == at(60)
    await some_runs(store, job, 2, params={"id": 2}, seconds=5)
    assert await next_at(store, seconds=5) == at(60)
    assert await next_at(store, seconds=60) == at(65)
    assert await next_at(store, seconds=65) is None


async def test_a_claim_under_a_rate_of_the_house_says_so_too(store: Store) -> None:
    """Though no run has a key."""
    await store.save_limit(LimitDraft(name=HOUSE, rate=Rate(count=1, per_s=30)), now=NOW)
    await some_runs(store, await a_job(store), 2)
    await a_worker(store, expires_s=1e9)
    assert await next_at(store) == at(30)
    assert await taken(store, seconds=29.9) == 0
    assert await taken(store, seconds=30) == 1


async def test_a_clock_that_is_put_back_mints_nothing(store: Store) -> None:
    """What was given stays given, and the next token comes when the clock is where it would have come."""
    await store.save_limit(LimitDraft(name="api", rate=TWO_A_SECOND), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("api")), 20)
    await a_worker(store, expires_s=1e9)
    assert await taken(store, seconds=10) == 3
    assert [await taken(store, seconds=seconds) for seconds in (0, 9, 10, 3, 10.4)] == [0] * 5
    assert await taken(store, seconds=10.5) == 1


async def test_another_rate_holds_from_when_it_is_saved(store: Store) -> None:
    """Quicker: those that wait for a far token are looked at anew. Slower: what was saved up beyond the burst is gone. None:
    all go.
    """
    await store.save_limit(LimitDraft(name="api", rate=Rate(count=1, per_s=3600)), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("api")), 20)
    await a_worker(store, expires_s=1e9)
    assert [await taken(store), await taken(store, seconds=60)] == [1, 0]
    await store.save_limit(LimitDraft(name="api", rate=Rate(count=10, per_s=1, burst=5)), now=at(60))
    assert [await taken(store, seconds=seconds) for seconds in (60, 60.1, 61)] == [0, 1, 5]
    await store.save_limit(LimitDraft(name="api", rate=Rate(count=1, per_s=60)), now=at(90))
    assert [await taken(store, seconds=seconds) for seconds in (90, 120, 150)] == [1, 0, 1]
    await store.save_limit(LimitDraft(name="api", slots=9), now=at(151))
    assert await taken(store, seconds=151) == 9


async def test_an_attempt_that_is_given_back_has_had_its_token(store: Store) -> None:
    """It did begin."""
    await store.save_limit(LimitDraft(name="api", rate=Rate(count=1, per_s=60)), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("api")))
    await a_worker(store, expires_s=1e9)
    (held,) = await a_claim(store)
    await told(store, held, Returned("drain"))
    assert await a_claim(store, seconds=59) == []
    assert len(await a_claim(store, seconds=60)) == 1


async def test_a_run_is_told_that_the_rate_is_used_up(store: Store) -> None:
    """Of the house and of its key, and when the next token comes; not while there is one."""
    house, each_key = Rate(count=1, per_s=10), Rate(count=2, per_s=60, burst=1)
    await store.save_limit(LimitDraft(name=HOUSE, rate=house), now=NOW)
    await store.save_limit(LimitDraft(name="customer", rate=each_key), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    _, second, third = await some_runs(store, job, 3, params={"id": 1})
    await a_worker(store, expires_s=1e9)
    assert (await store.explain(second.id, now=NOW)).facts == (Behind(1),)
    await a_claim(store)
    of_house, of_key = RateSpent("house", "*", house, at(10)), RateSpent("limit", "customer/1", each_key, at(30))
    assert (await store.explain(second.id, now=NOW)).facts == (of_house, of_key)
    assert (await store.explain(second.id, now=at(29))).facts == (of_key,)
    assert (await store.explain(third.id, now=at(30))).facts == (Behind(1),)


async def test_a_key_that_is_forgotten_has_given_all_it_may(store: Store) -> None:
    """Tidying forgets idle keys, and not that one is out of tokens for a day."""
    await store.save_limit(LimitDraft(name="daily", rate=Rate(count=1, per_s=86_400)), now=NOW)
    job = await a_job(store, limit=LimitUse("daily"))
    await some_runs(store, job)
    await a_worker(store, expires_s=1e9)
    assert await taken(store) == 1
    assert await next_at(store) is None
    assert (await store.tidy(Keep(), now=at(10_000))).keys_forgotten == 1
    await some_runs(store, job, 3, seconds=10_000)
    assert await taken(store, seconds=86_399) == 0
    assert await taken(store, seconds=86_400) == 1
    await store.tidy(Keep(), now=at(3 * 86_400))
    assert await taken(store, seconds=3 * 86_400) == 1
    assert await taken(store, seconds=3 * 86_400) == 0


async def test_keys_that_wait_for_a_token_are_left_alone_until_it_comes(store: Store) -> None:
    """More of them than a claim looks at hide no run of another key, and nobody who enqueues there wakes them too early."""
    await store.save_limit(LimitDraft(name="customer", rate=Rate(count=1, per_s=60)), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    for number in range(150):
        await some_runs(store, job, 2, params={"id": number})
    await a_worker(store, expires_s=1e9)
    assert [await taken(store, limit=200) for _ in range(4)] == [64, 64, 22, 0]
    await some_runs(store, job, params={"id": 0}, seconds=1)
    await some_runs(store, job, params={"id": "free"}, seconds=1)
    assert [each.run.params["id"] for each in await a_claim(store, limit=200, seconds=1)] == ["free"]
    assert [await taken(store, limit=200, seconds=60) for _ in range(4)] == [64, 64, 22, 0]


async def test_a_paused_queue_keeps_its_tokens(store: Store) -> None:
    """What is not begun takes none."""
    await store.save_limit(LimitDraft(name="api", rate=TWO_A_SECOND), now=NOW)
    await some_runs(store, await a_job(store, limit=LimitUse("api")), 5)
    await a_worker(store, expires_s=1e9)
    await store.set_queue_mode("default", QueueMode.PAUSED, now=NOW)
    assert await taken(store) == 0
    await store.set_queue_mode("default", QueueMode.OPEN, now=NOW)
    assert await taken(store) == 3


class Model:
    """What a rate allows, in fractions, and who knows nothing of stores."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.level, self.seen_us = rate, Fraction(rate.size), 0

    def come_to(self, now_us: int) -> None:
        brought = Fraction(max(now_us - self.seen_us, 0) * self.rate.count, self.rate.per_us)
        self.level = min(self.level + brought, Fraction(self.rate.size))
        self.seen_us = max(self.seen_us, now_us)

    def take(self, wanted: int) -> int:
        got = min(wanted, math.floor(self.level))
        self.level -= got
        return got


@pytest.mark.parametrize("seed", range(4))
async def test_a_store_gives_what_a_model_gives(store: Store, seed: int) -> None:
    """At random: more runs, claims large and small, time that passes and now and then goes back, other rates."""
    rng = Random(seed)
    rate = Rate(count=rng.randint(1, 9), per_s=rng.choice([1, 3, 7.5]), burst=rng.randint(1, 6))
    model, now_us, waiting = Model(rate), 0, 0
    await store.save_limit(LimitDraft(name="api", rate=rate), now=NOW)
    job = await a_job(store, limit=LimitUse("api"))
    await a_worker(store, expires_s=1e9)
    for _ in range(60):
        now_us = max(now_us + rng.choice([0, 1, 333_333, 1_000_000, 2_500_000, -700_000]), 0)
        model.come_to(now_us)
        if rng.random() < 0.5:
            more = rng.randint(1, 8)
            await some_runs(store, job, more, run_at=NOW)
            waiting += more
        if rng.random() < 0.1 and now_us == model.seen_us:
            model.rate = Rate(count=rng.randint(1, 9), per_s=model.rate.per_s, burst=rng.randint(1, 6))
            model.level = min(model.level, Fraction(model.rate.size))
            await store.save_limit(LimitDraft(name="api", rate=model.rate), now=NOW + timedelta(microseconds=now_us))
        limit = rng.randint(1, 7)
        got = await store.claim("w", limit=limit, now=NOW + timedelta(microseconds=now_us))
        assert len(got.claimed) == model.take(min(limit, waiting)), f"seed {seed}"
        waiting -= len(got.claimed)


@pytest.mark.slow
async def test_nodes_that_claim_at_once_never_exceed_a_rate(new_database: Callable[[], str]) -> None:
    """Three nodes, each with a clock of its own that is a little off: in no second more than the rate and one burst begin, and
    all runs get their turn.
    """
    address = new_database()
    rate, runs = Rate(count=20, per_s=1, burst=7), 150
    begun: list[datetime] = []
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(address)) for _ in range(3)]
        await stores[0].save_limit(LimitDraft(name="customer", rate=rate), now=NOW)
        job = await a_job(stores[0], limit=LimitUse("customer", by="id"))
        await some_runs(stores[0], job, runs, params={"id": 1})
        clock = iter(range(10**9))

        async def work(number: int) -> None:
            store, name = stores[number % 3], f"w{number}"
            await a_worker(store, name, expires_s=1e9)
            while len(begun) < runs:
                now = at(next(clock) * 0.01 + (number % 3) * 0.02)
                for each in (await store.claim(name, limit=4, now=now)).claimed:
                    events = await store.events(each.run.id)
                    begun.append(events[-1].at)

        with trio.fail_after(120):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(work, number)
    begun.sort()
    assert len(begun) == runs
    for first, moment in enumerate(begun):
        within = sum(1 for other in begun[first:] if other < moment + timedelta(seconds=1.04))
        assert within <= rate.size + math.ceil(rate.count * 1.04)
