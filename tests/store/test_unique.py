"""The exam on unique keys: for how long one holds, and what becomes of the second wish."""

from __future__ import annotations

import pytest
import trio

from etlplus.errors import Conflict
from etlplus.jobs.model import NewRun, RunState, Uniqueness
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.store.contract import Store
from etlplus.testing.stores import DONE, NOW, a_claim, a_job, a_worker, at, some_runs, told


async def test_a_key_holds_as_long_as_its_run_is_unfinished(store: Store) -> None:
    """While it waits and while it runs; once it is over, the next wish makes a new run."""
    job = await a_job(store)
    (first,) = await some_runs(store, job, unique_key="k")
    await a_worker(store)
    (claimed,) = await a_claim(store)
    (same,) = await some_runs(store, job, unique_key="k", seconds=1)
    assert (same.id, same.state) == (first.id, RunState.RUNNING)
    await told(store, claimed, DONE)
    (second,) = await some_runs(store, job, unique_key="k", seconds=2)
    assert second.id != first.id
    assert [run.id for run in await some_runs(store, job, unique_key="k", seconds=3)] == [second.id]


async def test_a_key_can_hold_for_a_while(store: Store) -> None:
    """With a period and all states, it holds that long, finished or not; afterwards it is free though nothing ended."""
    job = await a_job(store)
    rule = Uniqueness(period_s=60, states=tuple(RunState))
    (first,) = await some_runs(store, job, unique_key="k", unique=rule)
    await store.cancel(first.id, now=at(1))
    (same,) = await some_runs(store, job, unique_key="k", unique=rule, seconds=59)
    (second,) = await some_runs(store, job, unique_key="k", unique=rule, seconds=60)
    (third,) = await some_runs(store, job, unique_key="k", unique=rule, seconds=120)
    assert same.id == first.id
    assert len({first.id, second.id, third.id}) == 3


async def test_states_say_when_a_key_counts(store: Store) -> None:
    """Only while it waits: as soon as a worker has it, the next wish is a new run, and both are unfinished."""
    job = await a_job(store)
    rule = Uniqueness(states=(RunState.SCHEDULED, RunState.QUEUED))
    (first,) = await some_runs(store, job, unique_key="k", unique=rule)
    assert [run.id for run in await some_runs(store, job, unique_key="k", unique=rule)] == [first.id]
    await a_worker(store)
    await a_claim(store)
    (second,) = await some_runs(store, job, unique_key="k", unique=rule)
    assert second.id != first.id


async def test_a_wish_may_want_to_be_refused(store: Store) -> None:
    """The conflict names the holder; nothing that came with the wish is stored."""
    job = await a_job(store)
    (first,) = await some_runs(store, job, unique_key="k")
    strict = NewRun(job_id=job.id, unique_key="k", unique=Uniqueness(on_conflict="reject"))
    with pytest.raises(Conflict, match=first.id) as refused:
        await store.enqueue([NewRun(job_id=job.id), strict], now=NOW)
    assert refused.value.reason == "unique_key_taken"
    assert [run.id for run in await store.runs()] == [first.id]


async def test_a_wish_may_replace_the_parameters_of_one_that_waits(store: Store) -> None:
    """And its interval. The holder keeps its place, its time and its id, and tells of the change; one that runs is left alone."""
    job, interval = await a_job(store), (at(-60), at(0))
    rule = Uniqueness(on_conflict="replace")
    (first,) = await some_runs(store, job, params={"n": 1}, run_at=at(60), unique_key="k", unique=rule)
    wish = {"params": {"n": 2}, "interval": interval, "unique_key": "k", "unique": rule}
    (again,) = await some_runs(store, job, **wish, seconds=1)
    assert (again.id, again.params, again.run_at, again.version) == (first.id, {"n": 2}, at(60), 2)
    assert again.interval == (await store.run(first.id)).interval == interval
    await store.tick(now=at(60))
    await a_worker(store, expires_s=100)
    (claimed,) = await a_claim(store, seconds=60)
    assert claimed.run.params == {"n": 2}
    (left,) = await some_runs(store, job, params={"n": 3}, unique_key="k", unique=rule, seconds=61)
    assert (left.id, left.params) == (first.id, {"n": 2})
    kinds = [event.kind for event in await store.events(first.id)]
    assert kinds == ["enqueued", "replaced", "came_due", "claimed"]


async def test_other_parameters_may_mean_another_limit_key(store: Store) -> None:
    """A replaced run counts against the key of its new parameters."""
    await store.save_limit(LimitDraft(name="customer", slots=1), now=NOW)
    job = await a_job(store, limit=LimitUse("customer", by="id"))
    rule = Uniqueness(on_conflict="replace")
    await some_runs(store, job, params={"id": 1})
    (second,) = await some_runs(store, job, params={"id": 1}, unique_key="k", unique=rule, seconds=1)
    await a_worker(store)
    await a_claim(store, limit=9, seconds=1)
    await some_runs(store, job, params={"id": 2}, unique_key="k", unique=rule, seconds=2)
    assert [each.run.id for each in await a_claim(store, limit=9, seconds=2)] == [second.id]


async def test_keys_count_within_one_call(store: Store) -> None:
    """Of a list of wishes with one key, one run is made, with the parameters of the last that replaces."""
    job = await a_job(store)
    rule = Uniqueness(on_conflict="replace")
    wishes = [
        NewRun(job_id=job.id, params={"n": n}, interval=(at(n), at(n + 1)), unique_key="k", unique=rule)
        for n in range(3)
    ]
    runs = await store.enqueue(wishes, now=NOW)
    assert len({run.id for run in runs}) == 1
    assert [(run.params, run.interval) for run in runs] == [({"n": 2}, (at(2), at(3)))] * 3
    again = await store.enqueue(wishes[:2], now=at(1))
    assert [(run.id, run.params, run.version) for run in again] == [(runs[0].id, {"n": 1}, 2)] * 2


async def test_of_many_callers_at_once_one_makes_the_run(store: Store) -> None:
    """However many ask at the same time, with several keys in any order."""
    job = await a_job(store)
    ids: set[str] = set()

    async def ask(keys: str) -> None:
        wishes = [NewRun(job_id=job.id, unique_key=key) for key in keys]
        ids.update(run.id for run in await store.enqueue(wishes, now=NOW))

    async with trio.open_nursery() as nursery:
        for keys in ("abc", "cba", "bca", "a", "b", "cab"):
            nursery.start_soon(ask, keys)
    assert len(ids) == len(await store.runs()) == 3


@pytest.mark.slow
async def test_ten_thousand_runs_are_made_in_one_call(store: Store) -> None:
    """All of them, in order, and all claimable."""
    job = await a_job(store)
    wishes = [NewRun(job_id=job.id, params={"n": n}) for n in range(10_000)]
    runs = await store.enqueue(wishes, now=NOW)
    assert [run.params["n"] for run in runs] == list(range(10_000))
    assert (await store.counts()).runs["queued"] == 10_000
    await a_worker(store)
    assert [each.run.params["n"] for each in await a_claim(store, limit=300)] == list(range(300))
