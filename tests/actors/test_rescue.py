"""The rescue under a virtual clock: it takes from the lost, and from nobody else."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
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
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.store.sqlite.body import SqliteStore

HOUR_S = 3600.0


class Patient(Process):
    """A worker whose attempts end when they are told to; it notes how often one began."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.begun = 0
        self.enough = trio.Event()

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self.begun += 1
        await self.enough.wait()
        return Succeeded(Figures())


@asynccontextmanager
async def at_work() -> AsyncGenerator[tuple[SqliteStore, Patient]]:
    """A store with one worker, and a run that it carries."""
    with open_house(Random(1)) as house:
        house.calm = True
        patient = Patient(World(house, Random(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(patient.live)
            job = await house.store.save_job(JobDraft(name="job", pipeline={}), now=virtual_now())
            await house.store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
            await trio.sleep(60)
            yield house.store, patient
            patient.stop.set()


async def test_a_clock_that_jumps_takes_no_run_from_its_own_worker(autojump_clock: Any) -> None:
    """Forward or back by an hour, at any moment between two beats: the run goes on as the attempt that it is."""
    async with at_work() as (store, patient):
        for number in range(40):
            patient.ahead_s += -HOUR_S if number % 3 == 0 else HOUR_S
            await trio.sleep(6.3)
        patient.enough.set()
        await trio.sleep(1)
        (run,) = await store.runs()
        assert (run.state, run.attempt, run.rescues, patient.begun) == (RunState.SUCCEEDED, 1, 0, 1)
