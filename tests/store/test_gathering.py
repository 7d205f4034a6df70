"""Wishes that come at once on PostgreSQL are made together, and each keeps its own answer, its own error and its own end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from random import Random
from typing import Any

import pytest
import trio

from etlplus.errors import Invalid, NotFound, StoreUnavailable
from etlplus.jobs.model import Job, JobDraft, Run
from etlplus.jobs.queues import QueueDraft, QueueMode
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bridge import Bridge, open_bridge
from etlplus.store.postgres.sql import definitions
from etlplus.testing.stores import NOW, a_job, some_runs

HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""


@pytest.fixture
def address(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
async def store(address: str) -> AsyncGenerator[Store]:
    async with open_store(address, rng=Random(1)) as opened:
        yield opened


@pytest.fixture
async def bridge(address: str, store: Store) -> AsyncGenerator[Bridge]:
    """Somebody else's connections."""
    async with open_bridge(address, "etlplus") as opened:
        yield opened


async def wish(store: Store, job: Job, into: list[Any], **options: Any) -> None:
    """Ask for one run, and keep the answer or the error."""
    try:
        (run,) = await some_runs(store, job, **options)
        into.append(run)
    except (NotFound, Invalid, StoreUnavailable) as error:
        into.append(error)


async def units(store: Store) -> float:
    return (await store.statistics()).figures["units"]


async def test_many_at_once_take_a_few_units(store: Store) -> None:
    """A hundred callers get a run each, as they asked for it, also the first of a job, and the server was asked a few times."""
    job = await a_job(store)
    before, made = await units(store), list[Any]()
    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(lambda number=number: wish(store, job, made, params={"number": number}))
    assert await units(store) - before < 10
    assert sorted(run.params["number"] for run in made) == list(range(100))
    assert {run.id for run in made} <= {run.id for run in await store.runs(limit=200)}


async def test_one_refusal_is_nobody_elses(store: Store) -> None:
    """Of wishes that come together, those that cannot be granted are refused by name, and the others are."""
    good = await a_job(store, name="good")
    gone = await a_job(store, name="gone")
    await store.save_queue(QueueDraft(name="closed"), now=NOW)
    closed = await a_job(store, name="closed", queue="closed")
    for job in (good, closed, gone):
        await some_runs(store, job)
    await store.set_queue_mode("closed", QueueMode.DRAINING, now=NOW)
    for run in await store.runs():
        await store.cancel(run.id, now=NOW)
    await store.delete_job(gone.id, now=NOW)
    answers: dict[str, list[Any]] = {"good": [], "gone": [], "closed": []}
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            for job in (good, gone, closed):
                nursery.start_soon(wish, store, job, answers[job.name])
    assert [type(each) for each in answers["good"]] == [Run] * 5
    assert [type(each) for each in answers["gone"]] == [NotFound] * 5
    assert [(type(each), each.reason) for each in answers["closed"]] == [(Invalid, "queue_draining")] * 5


async def test_what_another_node_saved_counts_at_once(address: str, store: Store) -> None:
    """The run is made from the version that is stored, whatever this node saw last."""
    job = await a_job(store)
    await some_runs(store, job)
    async with open_store(address, rng=Random(2)) as other:
        await other.save_job(JobDraft(name="job", pipeline={"a": 2}, priority=7), now=NOW, job_id=job.id)
    (run,) = await some_runs(store, job)
    assert (run.job_version, run.priority) == (2, 7)


async def test_a_job_that_somebody_holds_delays_no_other(store: Store, bridge: Bridge) -> None:
    """A wish for it waits until it is let go; the wishes that came with it are granted meanwhile."""
    held, free = await a_job(store, name="held"), await a_job(store, name="free")
    await some_runs(store, held)
    locked, let_go = trio.Event(), trio.Event()

    async def hold(db: Any) -> None:
        await db.fetch(definitions.JOB_FOR_CHANGE, held.id)
        locked.set()
        while not let_go.is_set():
            await db.execute("SELECT 1")

    waited, granted = list[Any](), list[Any]()
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.run, hold)
            await locked.wait()
            async with trio.open_nursery() as others:
                nursery.start_soon(wish, store, held, waited)
                for _ in range(5):
                    others.start_soon(wish, store, free, granted)
            assert ([type(each) for each in granted], waited) == ([Run] * 5, [])
            let_go.set()
    assert [type(each) for each in waited] == [Run]


@pytest.mark.slow
async def test_a_wish_cancelled_at_any_moment_is_granted_or_not_and_others_are(store: Store) -> None:
    """Cut after 0, 1, 2, … turns of the loop; whoever came with it gets a run all the same, and there is none too many."""
    job = await a_job(store)
    await some_runs(store, job)
    stayed, cut, rounds = list[Any](), list[Any](), 60
    for turns in range(rounds):
        with trio.fail_after(HANG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wish, store, job, stayed)
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as doomed:
                        doomed.start_soon(wish, store, job, cut)
                        for _ in range(turns):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()
    assert [type(each) for each in stayed] == [Run] * rounds
    amount = len(await store.runs(limit=1000)) - 1
    assert rounds + len(cut) <= amount <= 2 * rounds


async def test_closing_ends_those_who_wait(address: str, bridge: Bridge) -> None:
    """Whoever waits for a run when the store closes hears so, the first in line and those behind it."""
    answers, locked = list[Any](), trio.Event()

    async def hold(db: Any) -> None:
        await db.execute("LOCK TABLE run_live IN EXCLUSIVE MODE")
        locked.set()
        await asyncio.Event().wait()

    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as holder:
            async with trio.open_nursery() as callers:
                async with open_store(address) as store:
                    job = await a_job(store)
                    await some_runs(store, job)
                    holder.start_soon(bridge.run, hold)
                    await locked.wait()
                    for _ in range(5):
                        callers.start_soon(wish, store, job, answers)
                        await trio.testing.wait_all_tasks_blocked()
            holder.cancel_scope.cancel()
    assert [type(each) for each in answers] == [StoreUnavailable] * 5
