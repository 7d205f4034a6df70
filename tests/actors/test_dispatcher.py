"""The dispatcher: whoever wakes it is heard, also while a claim is under way."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from etlplus.actors.messages import DISPATCHER, Wake
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.jobs.rates import Rate
from etlplus.runtime import System, open_system
from etlplus.settings import Settings
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
NEVER = Rhythm(poll_s=1e6, poll_silent_s=1e6, tick_s=1e6)


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


async def done(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Figures())


def virtual(calls_max: int = 0) -> Standing:
    """One slot, under the virtual clock."""
    standing = new_standing(1, calls_max=calls_max)
    standing.now = virtual_now
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    return standing


@asynccontextmanager
async def slow_house(*, calls_max: int) -> AsyncGenerator[tuple[SqliteStore, System, list[bool]]]:
    """A staff that claims when it is woken, and at no other time, from a store whose answers to claims take ``ANSWER_S``; with
    the claims that were made so far, of each whether it was for calls.
    """
    standing = virtual(calls_max)
    claims: list[bool] = []
    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def slow_claim(*args: Any, calls: bool, **kwargs: Any) -> Any:
            claims.append(calls)
            claimed = await claim(*args, calls=calls, **kwargs)
            await trio.sleep(ANSWER_S)
            return claimed

        store.claim = slow_claim  # type: ignore[method-assign]  # the real one, whose answers take their time
        tree = staff(store, Inline(done), standing, Newsroom(standing.now), Settings(), rhythm=NEVER)
        async with open_system(tree, seed=1) as system:
            yield store, system, claims


async def test_a_wake_during_a_claim_is_followed_by_another_claim(autojump_clock: MockClock) -> None:
    """What is enqueued while an empty claim waits for its answer starts right after it, and not at the next poll."""
    async with slow_house(calls_max=0) as (store, system, _):
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=virtual_now())
        await trio.sleep(10)
        system.ref(DISPATCHER).tell(Wake())
        await trio.sleep(ANSWER_S / 2)
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        system.ref(DISPATCHER).tell(Wake())
        await trio.sleep(2 * ANSWER_S)
        assert (await store.run(run.id)).state is RunState.SUCCEEDED


async def test_who_finds_nothing_asks_no_more(autojump_clock: MockClock) -> None:
    """Two claims that run side by side do not keep each other going: each is made once for the wakes before it, and once more
    for those that came while it was under way.
    """
    async with slow_house(calls_max=1) as (_, system, claims):
        await trio.sleep(10)
        claims.clear()
        system.ref(DISPATCHER).tell(Wake())
        await trio.sleep(ANSWER_S / 2)
        system.ref(DISPATCHER).tell(Wake())
        await trio.sleep(100 * ANSWER_S)
        assert sorted(claims) == [False, False, True, True]


async def test_runs_that_wait_for_a_token_begin_when_it_comes(autojump_clock: MockClock) -> None:
    """To the second, though nobody polls and nobody wakes anybody; in between, the store is not asked."""
    standing = virtual()
    asked: list[float] = []
    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def noted_claim(*args: Any, **kwargs: Any) -> Any:
            asked.append(round(trio.current_time()))
            return await claim(*args, **kwargs)

        store.claim = noted_claim  # type: ignore[method-assign]  # the real one, and when it is called
        await store.save_limit(LimitDraft(name="api", rate=Rate(count=1, per_s=100)), now=standing.now())
        job = await store.save_job(JobDraft(name="job", pipeline={}, limit=LimitUse("api")), now=standing.now())
        await store.enqueue([NewRun(job_id=job.id)] * 4, now=standing.now())
        tree = staff(store, Inline(done), standing, Newsroom(standing.now), Settings(), rhythm=NEVER)
        async with open_system(tree, seed=1):
            await trio.sleep(350)
            runs = await store.runs()
    begun = [(run.started_at - EPOCH).total_seconds() for run in runs if run.started_at is not None]
    assert sorted(map(round, begun)) == [0, 100, 200, 300]
    assert set(asked) == {0, 100, 200, 300}
