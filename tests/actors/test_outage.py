"""An outage of the store is no crash: whoever begins, ends or is in the middle of something meanwhile tries again later."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import msgspec
import trio
from msgspec.structs import replace
from trio.testing import MockClock

from etlplus.actors.messages import (
    BELLMAN,
    BROADCASTER,
    COMPLETER,
    CORRESPONDENT,
    CREW,
    DISPATCHER,
    HEARTBEAT,
    POOL,
    RESCUE,
    RETENTION,
    SCHEDULER,
    SCRIBE,
    Wake,
    Watch,
    runner_name,
)
from etlplus.actors.news import News, RunNews
from etlplus.actors.newsroom import ALL_RUNS, Newsroom
from etlplus.actors.standing import Standing
from etlplus.actors.watchers import Subscription
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.views import RunView
from etlplus.runtime import Crash, Name, System, Tell, Unhandled, open_system
from etlplus.settings import Settings
from etlplus.store.bells import Bell
from etlplus.store.sqlite.body import SqliteStore, open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
OUTAGE_S = 600.0
"""Longer than any supervisor counts crashes for."""
BACK_S = 60.0
"""By then everybody has looked again."""
STAFF: tuple[Name[Any], ...] = (
    BELLMAN, BROADCASTER, COMPLETER, CORRESPONDENT, CREW, DISPATCHER, HEARTBEAT, POOL, RESCUE, RETENTION, SCHEDULER, SCRIBE,
    runner_name(0),
)  # fmt: skip
USUAL = Rhythm()
NEVER = Rhythm(poll_s=1e6, poll_silent_s=1e6)
"""Only who is woken looks for work."""
OWN = ("pull", "wait_pulled", "distrust")
"""What is asked of the store's object, and not of the store."""


class Poison(Tell[Any]):
    """A message that nobody handles: whoever gets it crashes."""


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


def virtual(slots: int = 1) -> Standing:
    """A worker that goes by the virtual clock."""
    standing = new_standing(slots, calls_max=1, labels=(CALLS + "call",))
    standing.now = virtual_now
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    return standing


async def works_a_while(work: Work, lease: Lease, reports: Reports) -> Result:
    reports.log("begun")
    await trio.sleep(5)
    reports.log("done")
    return Succeeded(Figures())


class Fickle:
    """The real store, except while it is ``away``, that it ``loses`` so many answers to acknowledgements, and that rings end in
    ``errors``, while there are any.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.away = False
        self.refused = self.loses = 0
        self.errors: list[Exception] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name in OWN:
            return call

        async def asked(*args: Any, **kwargs: Any) -> Any:
            if self.away:
                self.refused += 1
                raise StoreUnavailable("away")
            if name == "ring" and self.errors:
                raise self.errors.pop()
            answer = await call(*args, **kwargs)
            if name == "acknowledge" and self.loses:
                self.loses -= 1
                raise StoreUnavailable("the answer was lost")
            return answer

        return asked


@asynccontextmanager
async def employed(
    store: Fickle, crashes: list[Crash], *, dead: tuple[str, ...] = (), slots: int = 1, rhythm: Rhythm = USUAL
) -> AsyncGenerator[tuple[System, Standing]]:
    standing = virtual(slots)
    tree = staff(
        store,  # type: ignore[arg-type]  # it hands on whatever it is asked
        Inline(works_a_while), standing, Newsroom(standing.now), Settings(), dead=dead, rhythm=rhythm,
    )  # fmt: skip
    async with open_system(tree, seed=1, on_crash=crashes.append) as system:
        yield system, standing


async def test_an_outage_of_any_length_crashes_nobody(autojump_clock: MockClock) -> None:
    """Whoever crashes meanwhile, for a reason of his own, is back at once and waits like the others; what was in hand comes to
    its end, and what waited is done.
    """
    crashes: list[Crash] = []
    async with open_sqlite(None, Random(1)) as body:
        store = Fickle(body)
        jobs = [await body.save_job(each, now=virtual_now()) for each in drafts()]
        async with employed(store, crashes) as (system, standing):
            began = await body.enqueue([NewRun(job_id=job.id) for job in jobs], now=virtual_now())
            system.ref(DISPATCHER).tell(Wake())
            await trio.sleep(4)
            assert [(await body.run(run.id)).state for run in began] == [RunState.RUNNING] * 2
            store.away = True
            for name in STAFF:
                await trio.sleep(OUTAGE_S / len(STAFF))
                system.ref(name).tell(Poison())
            waiting = await body.enqueue([NewRun(job_id=job.id) for job in jobs], now=virtual_now())
            await trio.sleep(OUTAGE_S)
            assert {each.status for each in system.tree().walk()} == {"running"}
            store.away = False
            await trio.sleep(BACK_S)
            assert [(await body.run(run.id)).state for run in (*began, *waiting)] == [RunState.SUCCEEDED] * 4
            assert not standing.lease.is_over
    assert [type(crash.error) for crash in crashes] == [Unhandled] * len(STAFF), crashes
    assert store.refused > OUTAGE_S / Settings().lease.beat_s


async def test_who_begins_during_an_outage_joins_when_it_is_over(autojump_clock: MockClock) -> None:
    """Also what a predecessor left is taken back then, as soon as it can be."""
    crashes: list[Crash] = []
    async with open_sqlite(None, Random(1)) as body:
        store = Fickle(body)
        job = await body.save_job(drafts()[0], now=virtual_now())
        (run,) = await body.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        before = replace(virtual().worker, id="before", expires_at=virtual_now() + timedelta(days=1))
        await body.join(before, now=virtual_now())
        await body.claim("before", limit=1, now=virtual_now())
        store.away = True
        async with employed(store, crashes, dead=("before",)):
            await trio.sleep(OUTAGE_S)
            assert (await body.run(run.id)).worker_id == "before"
            store.away = False
            await trio.sleep(BACK_S)
            found = await body.run(run.id)
    assert (found.state, found.rescues, crashes) == (RunState.SUCCEEDED, 1, [])


async def test_an_end_whose_answer_was_lost_is_told_to_watchers(autojump_clock: MockClock) -> None:
    """It is told to the store again, which says what became of it; nothing is stale."""
    async with open_sqlite(None, Random(1)) as body:
        store = Fickle(body)
        job = await body.save_job(drafts()[0], now=virtual_now())
        async with employed(store, []) as (system, standing):
            watcher = await system.ref(BROADCASTER).ask(Watch((ALL_RUNS,), 100))
            store.loses = 2
            (run,) = await body.enqueue([NewRun(job_id=job.id)], now=virtual_now())
            system.ref(DISPATCHER).tell(Wake())
            with trio.fail_after(BACK_S):
                states = [(await next_run(watcher)).state for _ in range(2)]
        assert (states, standing.stale_results) == ([RunState.RUNNING, RunState.SUCCEEDED], 0)
        assert ((await body.counts()).stale_results, (await body.run(run.id)).version) == (0, 3)


async def test_a_run_that_goes_on_with_an_end_whose_answer_was_lost_is_told_to_watchers(
    autojump_clock: MockClock,
) -> None:
    """It had waited for that end in its schedule: they hear that it is in the queue, and it begins, though nobody looks by himself
    and no slot becomes free that somebody had waited for.
    """
    async with open_sqlite(None, Random(1)) as body:
        store = Fickle(body)
        draft = replace(drafts()[0], schedule=IntervalSchedule(every_s=3, overlap="queue_one"))
        async with employed(store, [], slots=2, rhythm=NEVER) as (system, _):
            watcher = await system.ref(BROADCASTER).ask(Watch((ALL_RUNS,), 100))
            await body.save_job(draft, now=virtual_now())
            store.loses, seen = 1, dict[str, list[RunState]]()
            with trio.fail_after(BACK_S):
                while RunState.SUCCEEDED not in [states[-1] for states in list(seen.values())[1:]]:
                    run = await next_run(watcher)
                    seen.setdefault(run.id, []).append(run.state)
        assert store.loses == 0
        assert list(seen.values())[1] == [RunState.BLOCKED, RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED]


async def test_a_ring_that_fails_is_tried_again_whatever_it_says(autojump_clock: MockClock) -> None:
    """An outage, or what nobody thought of: what was pulled is kept, heard in the end, and nobody crashes."""
    crashes, heard = list[Crash](), list[Bell]()
    async with open_sqlite(None, Random(1)) as body:
        store = Fickle(body)
        async with employed(store, crashes), trio.open_nursery() as nursery:
            for _ in range(
                2
            ):  # where only one hears, nothing is rung but the test, and the staff gives up now and then
                nursery.start_soon(body.hear, heard.append)
            await trio.sleep(1)
            heard.clear()
            store.errors = [StoreUnavailable("away"), ValueError("odd"), KeyError("odd")]
            store.pull(Bell.HEED)
            await trio.sleep(BACK_S)
            assert (heard.count(Bell.HEED), store.errors, crashes) == (2, [], [])
            nursery.cancel_scope.cancel()


async def next_run(watcher: Subscription) -> RunView:
    """The next run that is told of."""
    while True:
        news = msgspec.json.decode(await watcher.news.receive(), type=News)
        if isinstance(news, RunNews):
            return news.run


def drafts() -> list[JobDraft]:
    """One that needs a slot, and one that is called."""
    return [JobDraft(name="load", pipeline={}), JobDraft(name="call", python="call")]
