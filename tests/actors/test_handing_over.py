"""Under a limit that is used up, the slots of calls that end go to the next in line with the acknowledgement."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.queues import HOUSE, LimitDraft
from etlplus.runtime import open_system
from etlplus.settings import Settings
from etlplus.store.contract import HandedOver
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
CALL_S = 1.0
SLOTS = 4
LONG_S = 600.0
SELDOM = Rhythm(poll_s=60, poll_silent_s=60)


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


class Watched:
    """A store whose answers take a while, and what it was asked; of as many as ``loses`` says, the answer is lost."""

    def __init__(self, store: SqliteStore, answer_s: float) -> None:
        self._store = store
        self._answer_s = answer_s
        self.most = self._now = 0  # hand-overs under way at a time
        self.asked: Counter[str] = Counter()
        self.handed: list[HandedOver] = []
        self.loses = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def claim(self, *args: Any, calls: bool, **kwargs: Any) -> Any:
        self.asked["claim"] += calls
        return await self._slowly(await self._store.claim(*args, calls=calls, **kwargs))

    async def hand_over(self, *args: Any, **kwargs: Any) -> Any:
        self.asked["hand over"] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            handed = await self._slowly(await self._store.hand_over(*args, **kwargs))
        finally:
            self._now -= 1
        self.handed.append(handed)
        if self.loses and handed.taken.claimed:
            self.loses -= 1
            raise StoreUnavailable("the answer was lost")
        return handed

    async def _slowly(self, answer: Any) -> Any:
        await trio.sleep(self._answer_s)
        return answer


class Calls:
    """The calls of functions: how often each attempt was executed, and how many at once at most. They take the times given, in
    turn.
    """

    def __init__(self, *takes_s: float) -> None:
        self._takes_s = takes_s
        self.executed: Counter[tuple[str, int]] = Counter()
        self.most = self._now = 0

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        takes_s = self._takes_s[len(self.executed) % len(self._takes_s)]
        self.executed[work.run_id, work.attempt] += 1
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            await trio.sleep(takes_s)
        finally:
            self._now -= 1
        return Succeeded(Figures())


@asynccontextmanager
async def busy_house(
    runs: int, *, answer_s: float = ANSWER_S, takes_s: tuple[float, ...] = (CALL_S,)
) -> AsyncGenerator[tuple[Watched, Standing, Calls]]:
    """A staff at work on so many calls, of which ``SLOTS`` may be in hand."""
    standing = new_standing(1, calls_max=3 * SLOTS, labels=(CALLS + "call",))
    standing.now, standing.boottime_s = virtual_now, trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    calls = Calls(*takes_s)
    async with open_sqlite(None, Random(1)) as store:
        watched = Watched(store, answer_s)
        await store.save_limit(LimitDraft(name=HOUSE, slots=SLOTS), now=virtual_now())
        job = await store.save_job(JobDraft(name="call", python="call"), now=virtual_now())
        await store.enqueue([NewRun(job_id=job.id)] * runs, now=virtual_now())
        tree = staff(
            watched,  # type: ignore[arg-type]  # all that a store is, and slow
            Inline(calls.execute),
            standing,
            Newsroom(standing.now),
            Settings(),
            rhythm=SELDOM,
        )
        async with open_system(tree, seed=1):
            yield watched, standing, calls


async def until_done(store: Watched, runs: int) -> None:
    with trio.fail_after(LONG_S):
        while (await store.counts()).runs[RunState.SUCCEEDED] < runs:  # noqa: ASYNC110 - the clock is virtual
            await trio.sleep(0.1)


async def test_slots_pass_from_call_to_call(autojump_clock: MockClock) -> None:
    """The dispatcher claims what there is at first, and what is left in the end; in between, whoever ends names the next."""
    async with busy_house(20 * SLOTS) as (store, _, calls):
        await until_done(store, 20 * SLOTS)
    assert (calls.most, max(calls.executed.values())) == (SLOTS, 1)
    assert sum(len(handed.taken.claimed) for handed in store.handed) > 15 * SLOTS
    assert store.asked["claim"] < 10


async def test_while_the_store_answers_one_call_the_next_is_made(autojump_clock: MockClock) -> None:
    """What ends while it is slow does not wait for that answer, but for the one after it."""
    async with busy_house(20 * SLOTS, answer_s=4 * CALL_S, takes_s=(CALL_S, 2 * CALL_S, 3 * CALL_S)) as (
        store,
        standing,
        calls,
    ):
        await until_done(store, 20 * SLOTS)
    assert (store.most, len(standing.outbox), standing.stale_results) == (2, 0, 0)
    assert (calls.most <= SLOTS, max(calls.executed.values())) == (True, 1)


@pytest.mark.parametrize("answer_s", [ANSWER_S, 4 * CALL_S])
async def test_calls_that_were_handed_over_with_a_lost_answer_are_found(
    autojump_clock: MockClock, answer_s: float
) -> None:
    """The store says that they are ours, and nobody carries them: they are given back, and each call is carried out once."""
    async with busy_house(6 * SLOTS, answer_s=answer_s, takes_s=(CALL_S, 2 * CALL_S)) as (store, standing, calls):
        store.loses = 2
        await until_done(store, 6 * SLOTS)
        assert (store.loses, standing.stale_results) == (0, 0)
        attempts = [run.attempt for run in await store.runs(limit=100)]
    assert calls.most <= SLOTS
    assert Counter(run_id for run_id, _ in calls.executed.elements()) == {run_id: 1 for run_id, _ in calls.executed}
    assert len(calls.executed) == 6 * SLOTS
    assert max(attempts) > 1, "what was given back was claimed again"


async def test_a_worker_that_stops_hands_nothing_over(autojump_clock: MockClock) -> None:
    """It lets its calls end, and takes no other for their slots."""
    async with busy_house(20 * SLOTS) as (store, _, calls):
        with trio.fail_after(LONG_S):
            while not store.handed or len(calls.executed) < 5 * SLOTS:  # noqa: ASYNC110 - the clock is virtual
                await trio.sleep(0.1)
            while store.asked["hand over"] > len(store.handed):  # noqa: ASYNC110 - the clock is virtual
                await trio.sleep(0.01)
        asked = Counter(store.asked)
    assert store.asked == asked
    assert len(store.handed) == asked["hand over"]


async def test_a_lease_that_is_lost_while_slots_pass_carries_nothing(autojump_clock: MockClock) -> None:
    """The worker is declared lost while it waits for the answer: what that gives it belongs to others by then."""
    async with busy_house(6 * SLOTS) as (store, standing, calls):
        with trio.fail_after(LONG_S):
            while not store.handed:  # noqa: ASYNC110 - the clock is virtual
                await trio.sleep(0.1)
            while not standing.claiming.handing_over:  # noqa: ASYNC110 - the clock is virtual
                await trio.sleep(0.01)
            lost = standing.worker.id
            await store.rescue(now=virtual_now(), dead=[lost])
            await until_done(store, 6 * SLOTS)
        assert standing.worker.id != lost
    assert max(calls.executed.values()) == 1
    assert calls.most <= 2 * SLOTS, "those that were lost end as they can"
