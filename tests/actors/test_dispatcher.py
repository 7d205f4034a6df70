"""The dispatcher: whoever wakes it is heard, also while a claim is under way, and it asks for nothing without need."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from etlplus.actors.broadcaster import Newsroom
from etlplus.actors.messages import DISPATCHER, Dispatching, Wake
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.runtime import Ref, open_system
from etlplus.settings import Settings
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
NEVER = Rhythm(poll_s=1e6, tick_s=1e6)


async def done(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Figures())


@asynccontextmanager
async def house(slots: int) -> AsyncGenerator[tuple[SqliteStore, Ref[Dispatching], list[bool]]]:
    """A store, the dispatcher of its only worker, which nobody wakes but the test, and the claims so far, by their kind."""
    standing, claims = new_standing(slots), list[bool]()
    standing.now = lambda: EPOCH + timedelta(seconds=trio.current_time())
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def slow_claim(*args: Any, calls: bool = False, **kwargs: Any) -> Any:
            claims.append(calls)
            claimed = await claim(*args, calls=calls, **kwargs)
            await trio.sleep(ANSWER_S)
            return claimed

        store.claim = slow_claim  # type: ignore[method-assign]  # the real one, whose answers take their time
        tree = staff(store, Inline(done), standing, Newsroom(standing.now), Settings(), rhythm=NEVER)
        async with open_system(tree, seed=1) as system:
            await trio.sleep(10)
            claims.clear()
            yield store, system.ref(DISPATCHER), claims


def now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


async def succeeded(store: SqliteStore) -> int:
    return (await store.counts()).runs[RunState.SUCCEEDED]


async def test_a_wake_during_a_claim_is_followed_by_another_claim(autojump_clock: MockClock) -> None:
    """What is enqueued while an empty claim waits for its answer starts right after it, and not at the next poll."""
    async with house(1) as (store, dispatcher, _):
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=now())
        dispatcher.tell(Wake())
        await trio.sleep(ANSWER_S / 2)
        await store.enqueue([NewRun(job_id=job.id)], now=now())
        dispatcher.tell(Wake())
        await trio.sleep(2 * ANSWER_S)
        assert await succeeded(store) == 1


async def test_a_wake_for_one_kind_of_runs_is_one_claim(autojump_clock: MockClock) -> None:
    """A claim that was not filled has left nothing, so neither its answer nor the end of its run is followed by another."""
    async with house(2) as (store, dispatcher, claims):
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=now())
        await store.enqueue([NewRun(job_id=job.id)], now=now())
        dispatcher.tell(Wake(calls=False))
        await trio.sleep(10 * ANSWER_S)
        assert (await succeeded(store), claims) == (1, [False])


async def test_room_that_was_wanted_is_filled_as_soon_as_it_is_made(autojump_clock: MockClock) -> None:
    """With more in the queue than slots, each end of a run makes room for the next, and nobody has to wake anybody."""
    async with house(2) as (store, dispatcher, _):
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=now())
        await store.enqueue([NewRun(job_id=job.id)] * 7, now=now())
        dispatcher.tell(Wake(calls=False))
        await trio.sleep(10 * ANSWER_S)
        assert await succeeded(store) == 7


async def test_a_slot_of_a_limit_that_becomes_free_is_taken_at_once(autojump_clock: MockClock) -> None:
    """Of runs that count against one slot, the next is claimed when the outcome of the one before is stored."""
    async with house(2) as (store, dispatcher, _):
        await store.save_limit(LimitDraft(name="one", slots=1), now=now())
        draft = JobDraft(name="job", pipeline={}, limit=LimitUse("one"))
        job = await store.save_job(draft, now=now())
        await store.enqueue([NewRun(job_id=job.id)] * 4, now=now())
        dispatcher.tell(Wake(calls=False))
        await trio.sleep(20 * ANSWER_S)
        assert await succeeded(store) == 4
