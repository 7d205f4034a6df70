"""How long an attempt may take, under a virtual clock with the whole staff of one worker."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from night.house import open_house
from night.node import Process
from night.times import virtual_now
from night.world import World

from etlplus.jobs.model import JobDraft, NewRun, RetryPolicy, Run, RunState
from etlplus.jobs.outcome import Result, Returned


class Sleeper(Process):
    """A worker whose every attempt would take an hour."""

    async def execute(self, work: Any, lease: Any, reports: Any) -> Result:
        await trio.sleep(3600)
        return Returned("it slept well")


async def ended(**options: Any) -> Run:
    """A run of a job with these options, once it is over."""
    with open_house(Random(1)) as house:
        house.calm = True
        draft = JobDraft(name="job", pipeline={}, retry=RetryPolicy(base_s=1, jitter=0), **options)
        job = await house.store.save_job(draft, now=virtual_now())
        worker = Sleeper(World(house, Random(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.live)
            (run,) = await house.store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
            with trio.fail_after(10_000):
                while not (run := await house.store.run(run.id)).state.is_final:  # noqa: ASYNC110 - the clock is virtual
                    await trio.sleep(0.5)
            worker.stop.set()
    return run


@pytest.mark.parametrize("timeout_s", [None, 600.0])
async def test_no_attempt_goes_on_past_the_deadline_of_its_run(autojump_clock: Any, timeout_s: float | None) -> None:
    """The attempt in hand is ended when the total is used up, and none follows."""
    run = await ended(total_timeout_s=20.0, timeout_s=timeout_s)
    assert (run.state, run.error and run.error.code, run.attempt) == (RunState.FAILED, "total_timeout", 1)
    assert run.finished_at is not None
    assert 20 <= (run.finished_at - run.created_at).total_seconds() < 25


async def test_each_attempt_has_its_own_timeout(autojump_clock: Any) -> None:
    """An attempt that takes too long is tried again, as often as the job allows."""
    run = await ended(timeout_s=5.0, total_timeout_s=1000.0)
    assert (run.state, run.error and run.error.code, run.attempt) == (RunState.FAILED, "timeout", 3)
