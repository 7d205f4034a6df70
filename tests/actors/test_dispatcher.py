"""The dispatcher: whoever wakes it is heard, also while a claim is under way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import trio
from trio.testing import MockClock

from etlplus.actors.broadcaster import Newsroom
from etlplus.actors.messages import DISPATCHER, Wake
from etlplus.app.staff import Rhythm, new_standing, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.runtime import open_system
from etlplus.settings import Settings
from etlplus.store.sqlite.body import open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
ANSWER_S = 0.5
NEVER = Rhythm(poll_s=1e6, poll_silent_s=1e6, tick_s=1e6)


async def done(work: Work, lease: Lease, reports: Reports) -> Result:
    return Succeeded(Figures())


async def test_a_wake_during_a_claim_is_followed_by_another_claim(autojump_clock: MockClock) -> None:
    """What is enqueued while an empty claim waits for its answer starts right after it, and not at the next poll."""
    standing = new_standing(1)
    standing.now = lambda: EPOCH + timedelta(seconds=trio.current_time())
    standing.boottime_s = trio.current_time
    standing.lease = Lease(float("-inf"), trio.current_time)
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
