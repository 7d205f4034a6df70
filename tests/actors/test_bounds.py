"""What the first attempt of a run finds in its sources is in the store before it reads, and every later attempt is told it."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import trio

sys.path.insert(0, str(Path(__file__).parent))
from night.house import open_house
from night.node import Process
from night.times import virtual_now
from night.world import World

from etlplus.engines.contract import Lease, Reports, Work
from etlplus.jobs.model import JobDraft, NewRun, RetryPolicy, RunState
from etlplus.jobs.outcome import Failed, Figures, Result, RunError, Succeeded

AWAY_S = 3.0
"""Less than a lease: the attempt outlives it."""


class Reader(Process):
    """A worker whose first attempt binds its sources while the store is out, and then fails."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.told: list[dict[str, Any] | None] = []
        self.waited_s = 0.0

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self.told.append(work.bounds)
        if work.attempt > 1:
            return Succeeded(Figures())
        house, since = self.world.house, trio.current_time()
        house.away = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reports.freeze, {"orders": {"size": 1}})
            await trio.sleep(AWAY_S)
            house.away = False
        self.waited_s = trio.current_time() - since
        return Failed(RunError("busy", "later", retryable=True))


async def test_bounds_wait_for_a_store_that_is_out_and_reach_the_next_attempt(autojump_clock: Any) -> None:
    """The load stands still until then; it is told nothing that is not stored."""
    with open_house(Random(1)) as house:
        house.calm = True
        reader = Reader(World(house, Random(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reader.live)
            store = house.new_seat()
            draft = JobDraft(name="job", pipeline={}, retry=RetryPolicy(base_s=1, jitter=0))
            job = await store.save_job(draft, now=virtual_now())
            (run,) = await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
            await store.ring()
            await trio.sleep(60)
            assert (await store.run(run.id)).state is RunState.SUCCEEDED
            reader.stop.set()
    assert reader.told == [None, {"orders": {"size": 1}}]
    assert reader.waited_s > AWAY_S
