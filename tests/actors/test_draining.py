"""A worker that is asked to stop while an attempt is in hand that will not be done in time."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from night.house import open_house
from night.node import SETTINGS, Process
from night.times import virtual_now
from night.world import World

from etlplus.engines.contract import Lease, Reports, Work
from etlplus.jobs.lifecycle import Happening
from etlplus.jobs.model import JobDraft, NewRun
from etlplus.jobs.outcome import Result, Returned

TIDYING_S = 3.0


class Tidy(Process):
    """A worker whose every attempt would take an hour, and tidies up for a while when it is cut short."""

    tidied = False

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        try:
            await trio.sleep(3600)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(TIDYING_S)
            self.tidied = True
        return Returned("it slept well")


@pytest.mark.parametrize("hurry", [False, True])
@pytest.mark.parametrize("draft", [JobDraft(name="load", pipeline={}), JobDraft(name="call", python="call")])
async def test_what_is_not_done_in_time_is_given_back(autojump_clock: Any, draft: JobDraft, hurry: bool) -> None:
    """After the budget, or at once if there is no time; the worker waits until the attempt has tidied up, and nobody crashes."""
    with open_house(Random(1)) as house:
        house.calm = True
        world = World(house, Random(1))
        job = await house.store.save_job(draft, now=virtual_now())
        (run,) = await house.store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        worker = Tidy(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.live)
            await trio.sleep(10)
            if hurry:
                worker.standing.hurry.set()
            worker.stop.set()
        last = (await house.store.events(run.id))[-1]
        assert (last.kind, last.detail) == (Happening.RETURNED, {"reason": "the worker is stopping"})
        assert worker.tidied
        assert world.crashes == []
        budget_s = 0 if hurry else SETTINGS.shutdown.drain_s
        assert trio.current_time() == pytest.approx(10 + budget_s + TIDYING_S, abs=0.5)
