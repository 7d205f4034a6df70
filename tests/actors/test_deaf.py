"""Calls that ignore their cancellation: told of, counted, and in their places until they end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import trio
from trio.testing import MockClock

from etlplus.actors.clock import SharedClock
from etlplus.actors.crew import DEAF_AFTER_S
from etlplus.actors.messages import DISPATCHER, CancelHere
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.app.staff import new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import JobDraft, NewRun, RetryPolicy, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.queues import HOUSE, LimitDraft
from etlplus.runtime import System, open_system
from etlplus.settings import Settings
from etlplus.store.contract import Store
from etlplus.store.sqlite.body import open_sqlite

DRAIN_S = 20.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class House:
    """A staff whose one function does not hear, until somebody opens its ears."""

    store: Store
    standing: Standing
    system: System | None = None
    begun: trio.Event = field(default_factory=trio.Event)
    ears: trio.Event = field(default_factory=trio.Event)

    async def deaf_function(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self.begun.set()
        with trio.CancelScope(shield=True):
            await self.ears.wait()
        await trio.lowlevel.checkpoint()
        return Succeeded(Figures())

    async def start(self, **options: object) -> str:
        retry = RetryPolicy(attempts_max=1)
        job = await self.store.save_job(
            JobDraft(name="deaf", python="deaf", retry=retry, **options), now=self.standing.now()
        )  # type: ignore[arg-type]
        run, _ = await self.store.enqueue([NewRun(job_id=job.id)] * 2, now=self.standing.now())
        await self.begun.wait()
        return run.id

    async def end(self, run_id: str) -> RunState:
        with trio.fail_after(3600):
            while not (run := await self.store.run(run_id)).state.is_final:  # noqa: ASYNC110 - the clock is virtual
                await trio.sleep(1)
        return run.state


@asynccontextmanager
async def house() -> AsyncGenerator[House]:
    clock = SharedClock(
        lambda: EPOCH + timedelta(seconds=trio.current_time()), trio.current_time, memory_s=Settings().lease.expiry_s
    )
    standing = new_standing(1, calls_max=5, labels=(CALLS + "deaf",), clock=clock)
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    async with open_sqlite(None, Random(1)) as store:
        await store.save_limit(LimitDraft(name=HOUSE, slots=1), now=standing.now())
        here = House(store, standing)
        tree = staff(store, Inline(here.deaf_function), standing, Newsroom(standing.now), Settings())
        async with open_system(tree, seed=1, drain=DRAIN_S, on_crash=lambda crash: None) as here.system:
            yield here


async def test_a_cancelled_call_that_does_not_end_is_told_of_and_keeps_its_slot(autojump_clock: MockClock) -> None:
    """Its log says where it stands, its run is still running, and the next one waits for its slot, until it has ended."""
    async with house() as here:
        store, standing = here.store, here.standing
        run_id = await here.start()
        await store.cancel(run_id, now=standing.now())
        assert here.system is not None
        here.system.ref(DISPATCHER).tell(CancelHere((run_id,)))
        await trio.sleep(DEAF_AFTER_S / 2)
        assert standing.deaf == set()
        await trio.sleep(DEAF_AFTER_S)
        assert standing.deaf == {(run_id, 1)}
        (line,) = await store.log_tail(run_id, 1)
        assert (line.level, "ears.wait()" in line.text) == ("error", True)
        await trio.sleep(10 * DEAF_AFTER_S)
        assert len(await store.log_tail(run_id, 1)) == 1
        assert (await store.run(run_id)).state is RunState.RUNNING
        assert [run.state for run in await store.runs()] == [RunState.QUEUED, RunState.RUNNING]
        here.ears.set()
        assert await here.end(run_id) is RunState.CANCELLED
        assert standing.deaf == set()
        other = (await store.runs())[0]
        assert await here.end(other.id) is RunState.SUCCEEDED


async def test_a_call_whose_time_is_up_and_that_does_not_end_is_told_of(autojump_clock: MockClock) -> None:
    """Nobody had to ask for its end; when it ends, it has failed as timed out."""
    async with house() as here:
        run_id = await here.start(timeout_s=60)
        await trio.sleep(60 + 2 * DEAF_AFTER_S)
        assert here.standing.deaf == {(run_id, 1)}
        here.ears.set()
        assert await here.end(run_id) is RunState.FAILED
        error = (await here.store.run(run_id)).error
        assert error is not None
        assert error.code == "timeout"


async def test_a_call_that_outlives_its_lease_is_told_of_and_its_end_is_stale(autojump_clock: MockClock) -> None:
    """Others have its run by then; what it says in the end changes nothing."""
    async with house() as here:
        run_id = await here.start()
        await here.store.rescue(now=here.standing.now(), dead=[here.standing.worker.id])
        await trio.sleep(3 * DEAF_AFTER_S)
        assert here.standing.deaf == {(run_id, 1)}
        here.ears.set()
        assert await here.end(run_id) is RunState.SUCCEEDED
        assert (await here.store.run(run_id)).attempt == 2
        assert (await here.store.counts()).stale_results == 1


@pytest.mark.parametrize("hears", [True, False])
async def test_a_call_that_ends_in_time_is_not_told_of(autojump_clock: MockClock, hears: bool) -> None:
    """Whether it was told to end or goes on for long because nobody told it to."""
    async with house() as here:
        run_id = await here.start()
        if hears:
            await here.store.cancel(run_id, now=here.standing.now())
            await trio.sleep(DEAF_AFTER_S / 2)
            here.ears.set()
        await trio.sleep(10 * DEAF_AFTER_S)
        assert here.standing.deaf == set()
        here.ears.set()


async def test_a_stop_that_a_call_holds_up_leaves_its_run_to_others(autojump_clock: MockClock) -> None:
    """A program cannot leave before its tasks have ended. All others of the staff stop meanwhile, so the lease ends, too, and
    whoever looks for lost workers finds this one.
    """
    rescued: list[str] = []

    async def rescue_and_open_ears(here: House) -> None:
        await here.standing.lease.wait_over()
        rescued.extend(run.id for run in await here.store.rescue(now=here.standing.now()))
        here.ears.set()

    async with trio.open_nursery() as nursery, house() as here:
        run_id = await here.start()
        nursery.start_soon(rescue_and_open_ears, here)
    assert rescued == [run_id]
