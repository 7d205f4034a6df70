"""The dispatcher: whoever wakes it is heard, also while a claim is under way, and it asks for nothing without need."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from etlplus.actors.messages import DISPATCHER, Freed, Wake
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Execute, Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import Job, JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Returned, Succeeded
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse
from etlplus.jobs.rates import Rate
from etlplus.runtime import System, open_system
from etlplus.settings import Settings
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
LOST_S = 30.0
"""A few beats, and a few tries."""
NEVER = Rhythm(poll_s=1e6, poll_silent_s=1e6, tick_s=1e6)


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


async def done(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Figures())


def virtual(slots: int = 1, *, calls_max: int = 0) -> Standing:
    """A worker that goes by the virtual clock."""
    standing = new_standing(slots, calls_max=calls_max, labels=(CALLS + "call",))
    standing.now = virtual_now
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    return standing


@asynccontextmanager
async def slow_house(*, slots: int = 1, calls_max: int = 0) -> AsyncGenerator[tuple[SqliteStore, System, list[bool]]]:
    """A staff that claims when it is woken, and at no other time, from a store whose answers to claims take ``ANSWER_S``; with
    the claims that were made so far, of each whether it was for calls.
    """
    standing = virtual(slots, calls_max=calls_max)
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
    async with slow_house() as (store, system, _):
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


async def test_a_freed_slot_wakes_only_those_that_may_wait_for_one(autojump_clock: MockClock) -> None:
    """Of two kinds of runs, the one that has some left; and one whose claim is under way, since it may have come too late."""
    async with slow_house(slots=2, calls_max=2) as (store, system, claims):
        await store.save_limit(LimitDraft(name=HOUSE, slots=1), now=virtual_now())
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=virtual_now())
        await trio.sleep(10)
        claims.clear()
        system.ref(DISPATCHER).tell(Freed())
        await trio.sleep(10)
        assert claims == []
        await store.enqueue([NewRun(job_id=job.id)] * 3, now=virtual_now())
        system.ref(DISPATCHER).tell(Wake())
        await trio.sleep(10)
        assert (await store.counts()).runs[RunState.SUCCEEDED] == 3
        assert claims.count(True) == 1, "only the wake that was for both kinds"
        claims.clear()
        system.ref(DISPATCHER).tell(Wake(calls=True))
        await trio.sleep(ANSWER_S / 2)
        system.ref(DISPATCHER).tell(Freed())
        await trio.sleep(10)
        assert claims == [True, True]


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


class Forgetful:
    """A store that loses the answers to claims that took something, as many as it is told to; all else it hands on."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.loses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim(self, *args: Any, **kwargs: Any) -> Any:
        taken = await self._store.claim(*args, **kwargs)
        if self.loses and taken.claimed:
            self.loses -= 1
            raise StoreUnavailable("the answer was lost")
        return taken


@asynccontextmanager
async def forgetful_house(execute: Execute, *, slots: int) -> AsyncGenerator[tuple[Forgetful, Standing]]:
    """A staff whose store loses answers."""
    standing = virtual(slots, calls_max=2)
    async with open_sqlite(None, Random(1)) as store:
        forgetful = Forgetful(store)
        tree = staff(
            forgetful,  # type: ignore[arg-type]  # all that a store is, and forgetful
            Inline(execute),
            standing,
            Newsroom(standing.now),
            Settings(),
            rhythm=Rhythm(poll_s=1.0),
        )
        async with open_system(tree, seed=1):
            yield forgetful, standing


@pytest.mark.parametrize("draft", [JobDraft(name="load", pipeline={}), JobDraft(name="call", python="call")])
async def test_a_lost_attempt_is_given_back_beside_an_older_one_of_its_run(
    autojump_clock: MockClock, draft: JobDraft
) -> None:
    """A worker that was taken for lost goes on with its attempt, claims the run anew, and the answer is lost: it gives the new
    attempt back though it carries an attempt of that run.
    """

    async def first_is_deaf(work: Work, lease: Lease, reports: Reports) -> Result:
        if work.attempt == 1:
            with trio.CancelScope(shield=True):
                await trio.sleep(2 * LOST_S)
        return Succeeded(Figures())

    async with forgetful_house(first_is_deaf, slots=2) as (store, standing):
        job = await store.save_job(draft, now=virtual_now())
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        while (await store.run(run.id)).state is not RunState.RUNNING:  # noqa: ASYNC110 - the clock is virtual
            await trio.sleep(0.1)
        await store.rescue(now=virtual_now(), dead=[standing.worker.id])
        store.loses = 1
        await trio.sleep(LOST_S)
        assert store.loses == 0
        ended = await store.run(run.id)
        assert (ended.state, ended.attempt) == (RunState.SUCCEEDED, 3)


async def test_a_lost_attempt_is_found_among_many(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs others have in hand, more than a page of them too."""
    monkeypatch.setattr("etlplus.actors.dispatcher.PAGE", 3)
    async with forgetful_house(done, slots=1) as (store, standing):
        await trio.sleep(2)
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=virtual_now())
        store.loses = 1
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        while store.loses:  # noqa: ASYNC110 - the clock is virtual
            await trio.sleep(0.01)
        others = await store.enqueue([NewRun(job_id=job.id)] * 6, now=virtual_now())
        other = replace(standing.new_worker(), labels=())
        await store.join(other, now=virtual_now())
        assert len((await store.claim(other.id, limit=6, now=virtual_now())).claimed) == len(others)
        await trio.sleep(LOST_S)
        assert (await store.run(run.id)).state is RunState.SUCCEEDED


@pytest.mark.parametrize("kind", ["pipeline", "function"])
async def test_a_claim_whose_lease_is_lost_under_way_is_not_carried(autojump_clock: MockClock, kind: str) -> None:
    """The worker stands still after the store gave it a run, is declared lost, and joins anew. Then it hears the answer: it
    must not begin what others may have by now.
    """
    standing = virtual(calls_max=1)
    begun: list[int] = []

    async def begin(work: Work, lease: Lease, reports: Reports) -> Result:
        if lease.is_over:
            return Returned("the lease ran out")
        begun.append(work.attempt)
        return Succeeded(Figures())

    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def interrupted_claim(*args: Any, **kwargs: Any) -> Any:
            taken = await claim(*args, **kwargs)
            if taken.claimed and taken.claimed[0].run.attempt == 1:
                await store.rescue(now=standing.now(), dead=[standing.worker.id])
                while standing.worker.id == taken.claimed[0].run.worker_id:  # noqa: ASYNC110 - a name tells nobody
                    await trio.sleep(1)
            return taken

        store.claim = interrupted_claim  # type: ignore[method-assign]  # the real one, amid which the worker stands still
        draft = JobDraft(name="job", python="call") if kind == "function" else JobDraft(name="job", pipeline={})
        job = await store.save_job(draft, now=standing.now())
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=standing.now())
        tree = staff(store, Inline(begin), standing, Newsroom(standing.now), Settings())
        async with open_system(tree, seed=1):
            with trio.fail_after(3600):
                while not (await store.run(run.id)).state.is_final:  # noqa: ASYNC110 - the clock is virtual
                    await trio.sleep(1)
        assert (await store.run(run.id)).state is RunState.SUCCEEDED
    assert begun == [2]


async def succeeded(store: SqliteStore) -> int:
    return (await store.counts()).runs[RunState.SUCCEEDED]


async def a_job(store: SqliteStore, **options: Any) -> Job:
    return await store.save_job(JobDraft(name="job", pipeline={}, **options), now=virtual_now())


async def test_a_wake_for_one_kind_of_runs_is_one_claim(autojump_clock: MockClock) -> None:
    """A claim that was not filled has left nothing, so neither its answer nor the end of its run is followed by another."""
    async with slow_house(slots=2, calls_max=1) as (store, system, claims):
        job = await a_job(store)
        await trio.sleep(10)
        claims.clear()
        await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        system.ref(DISPATCHER).tell(Wake(calls=False))
        await trio.sleep(10 * ANSWER_S)
        assert (await succeeded(store), claims) == (1, [False])


async def test_a_bell_for_one_kind_of_runs_is_one_claim(autojump_clock: MockClock) -> None:
    """Whoever hears that runs have come that call functions, or others, looks for those; for both if it was both."""
    async with slow_house(calls_max=1) as (store, _, claims), trio.open_nursery() as nursery:
        nursery.start_soon(store.hear, lambda bell: None)  # with two who hear, the staff hears what it rings itself
        load, call = await a_job(store), await store.save_job(JobDraft(name="call", python="call"), now=virtual_now())
        for jobs, found in (([load], [False]), ([call], [True]), ([load, call], [False, True])):
            await trio.sleep(10)
            claims.clear()
            await store.enqueue([NewRun(job_id=job.id) for job in jobs], now=virtual_now())
            await trio.sleep(10)
            assert sorted(set(claims)) == found
        assert await succeeded(store) == 4
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("calls", [False, True])
async def test_a_run_that_comes_due_is_one_claim(autojump_clock: MockClock, calls: bool) -> None:
    """Of its kind."""
    async with slow_house(slots=2, calls_max=2) as (store, _, claims):
        draft = JobDraft(name="call", python="call") if calls else JobDraft(name="load", pipeline={})
        job = await store.save_job(draft, now=virtual_now())
        await trio.sleep(10)
        claims.clear()
        soon = virtual_now() + timedelta(seconds=0.5)
        await store.enqueue([NewRun(job_id=job.id, run_at=soon)], now=virtual_now())
        await trio.sleep(10)
        assert (await succeeded(store), claims) == (1, [calls])


async def test_room_that_was_wanted_is_filled_as_soon_as_it_is_made(autojump_clock: MockClock) -> None:
    """With more in the queue than slots, each end of a run makes room for the next, and nobody has to wake anybody."""
    async with slow_house(slots=2) as (store, system, _):
        job = await a_job(store)
        await trio.sleep(10)
        await store.enqueue([NewRun(job_id=job.id)] * 7, now=virtual_now())
        system.ref(DISPATCHER).tell(Wake(calls=False))
        await trio.sleep(10 * ANSWER_S)
        assert await succeeded(store) == 7


async def test_a_slot_of_a_limit_that_becomes_free_is_taken_at_once(autojump_clock: MockClock) -> None:
    """Of runs that count against one slot, the next is claimed when the outcome of the one before is stored."""
    async with slow_house(slots=2) as (store, system, _):
        await store.save_limit(LimitDraft(name="one", slots=1), now=virtual_now())
        job = await a_job(store, limit=LimitUse("one"))
        await trio.sleep(10)
        await store.enqueue([NewRun(job_id=job.id)] * 4, now=virtual_now())
        system.ref(DISPATCHER).tell(Wake(calls=False))
        await trio.sleep(20 * ANSWER_S)
        assert await succeeded(store) == 4
