"""The dispatcher: whoever wakes it is heard, also while a claim is under way, and what it claims is carried under its lease."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from etlplus.actors.broadcaster import Newsroom
from etlplus.actors.messages import DISPATCHER, Wake
from etlplus.actors.standing import Standing
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Returned, Succeeded
from etlplus.runtime import open_system
from etlplus.settings import Settings
from etlplus.store.sqlite.body import open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
NEVER = Rhythm(poll_s=1e6, tick_s=1e6)


async def done(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Figures())


def standing_in_virtual_time(calls_max: int = 0) -> Standing:
    labels = (CALLS + "call",) if calls_max else ()
    standing = new_standing(1, calls_max=calls_max, labels=labels)
    standing.now = lambda: EPOCH + timedelta(seconds=trio.current_time())
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
    return standing


async def test_a_wake_during_a_claim_is_followed_by_another_claim(autojump_clock: MockClock) -> None:
    """What is enqueued while an empty claim waits for its answer starts right after it, and not at the next poll."""
    standing = standing_in_virtual_time()
    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def slow_claim(*args: Any, **kwargs: Any) -> Any:
            claimed = await claim(*args, **kwargs)
            await trio.sleep(ANSWER_S)
            return claimed

        store.claim = slow_claim  # type: ignore[method-assign]  # the real one, whose answers take their time
        job = await store.save_job(JobDraft(name="job", pipeline={}), now=standing.now())
        tree = staff(store, Inline(done), standing, Newsroom(standing.now), Settings(), rhythm=NEVER)
        async with open_system(tree, seed=1) as system:
            await trio.sleep(10)
            system.ref(DISPATCHER).tell(Wake())
            await trio.sleep(ANSWER_S / 2)
            (run,) = await store.enqueue([NewRun(job_id=job.id)], now=standing.now())
            system.ref(DISPATCHER).tell(Wake())
            await trio.sleep(2 * ANSWER_S)
            assert (await store.run(run.id)).state is RunState.SUCCEEDED


@pytest.mark.parametrize("kind", ["pipeline", "function"])
async def test_a_claim_whose_lease_is_lost_under_way_is_not_carried(autojump_clock: MockClock, kind: str) -> None:
    """The worker stands still after the store gave it a run, is declared lost, and joins anew. Then it hears the answer: it
    must not begin what others may have by now.
    """
    standing = standing_in_virtual_time(calls_max=1)
    begun: list[int] = []

    async def begin(work: Work, lease: Lease, reports: Reports) -> Result:
        if lease.is_over:
            return Returned("the lease ran out")
        begun.append(work.attempt)
        return Succeeded(Figures())

    async with open_sqlite(None, Random(1)) as store:
        claim = store.claim

        async def interrupted_claim(*args: Any, **kwargs: Any) -> Any:
            claimed = await claim(*args, **kwargs)
            if claimed and claimed[0].run.attempt == 1:
                await store.rescue(now=standing.now(), dead=[standing.worker.id])
                while standing.worker.id == claimed[0].run.worker_id:
                    await trio.sleep(1)
            return claimed

        store.claim = interrupted_claim  # type: ignore[method-assign]  # the real one, amid which the worker stands still
        draft = JobDraft(name="job", python="call") if kind == "function" else JobDraft(name="job", pipeline={})
        job = await store.save_job(draft, now=standing.now())
        (run,) = await store.enqueue([NewRun(job_id=job.id)], now=standing.now())
        tree = staff(store, Inline(begin), standing, Newsroom(standing.now), Settings())
        async with open_system(tree, seed=1):
            with trio.fail_after(3600):
                while not (await store.run(run.id)).state.is_final:
                    await trio.sleep(1)
        assert (await store.run(run.id)).state is RunState.SUCCEEDED
    assert begun == [2]
