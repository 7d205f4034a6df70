"""The rescue under a virtual clock: it takes from the lost, and from nobody else."""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from night.house import House, open_house
from night.node import EXPIRY_S, SLOW, Process
from night.world import World

from etlplus.engines.contract import Lease, Reports, Work
from etlplus.jobs.model import JobDraft, NewRun, RunState
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.store.sqlite.body import SqliteStore

HOUR_S = 3600.0


class Patient(Process):
    """A worker whose attempts end when they are told to; it notes how often one began."""

    def __init__(self, world: World, number: int = 0) -> None:
        super().__init__(world, number)
        self.begun = 0
        self.asleep_s = 0.0
        self.enough = trio.Event()

    def sleep(self, for_s: float) -> None:
        """Its machine was asleep, until now."""
        self.asleep_s += for_s
        self.ahead_s += for_s

    def boottime_s(self) -> float:
        return super().boottime_s() + self.asleep_s

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self.begun += 1
        await self.enough.wait()
        return Succeeded(Figures())


@asynccontextmanager
async def at_work() -> AsyncGenerator[tuple[SqliteStore, Patient]]:
    """A store with one worker, and a run that it carries."""
    with open_house(Random(1)) as house:
        house.calm = True
        async with trio.open_nursery() as nursery:
            patient = await begin(house, nursery)
            yield house.store, patient
            patient.stop.set()


async def begin(house: House, nursery: trio.Nursery) -> Patient:
    """The house's first worker, once it is at work on a run."""
    patient = Patient(World(house, Random(1)))
    nursery.start_soon(patient.live)
    job = await house.store.save_job(JobDraft(name="job", pipeline={}), now=house.now())
    await house.store.enqueue([NewRun(job_id=job.id)], now=house.now())
    await trio.sleep(60)
    return patient


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


async def test_a_machine_that_was_asleep_takes_no_run_from_itself(autojump_clock: Any) -> None:
    """Its lease was over meanwhile; but it beats before it judges anybody, and loses no run that nobody else took."""
    async with at_work() as (store, patient):
        for _ in range(20):
            patient.sleep(10 * EXPIRY_S)
            await trio.sleep(2 * EXPIRY_S + 0.7)
        (run,) = await store.runs()
        assert (run.state, run.attempt, run.rescues) == (RunState.RUNNING, 1, 0)
        patient.enough.set()


@asynccontextmanager
async def two_at_work() -> AsyncGenerator[tuple[House, Patient, Patient]]:
    """The same with a store that tells the time, and a second worker, who asks it at other moments than the first."""
    with open_house(Random(1)) as house:
        house.calm = house.tells_time = True
        async with trio.open_nursery() as nursery:
            patient = await begin(house, nursery)
            await trio.sleep(1.3)
            other = Patient(World(house, Random(2)), 1)
            nursery.start_soon(other.live)
            yield house, patient, other
            patient.stop.set()
            other.stop.set()


@pytest.mark.parametrize("by_s", [HOUR_S, -HOUR_S])
@pytest.mark.parametrize("for_s", [math.inf, 1.2], ids=["for good", "for a moment"])
async def test_a_store_whose_clock_jumps_takes_no_run_from_who_holds_it(
    autojump_clock: Any, by_s: float, for_s: float
) -> None:
    """At any moment between the beats and the looks of two workers, of which one hears of it before the other or alone."""
    async with two_at_work() as (house, patient, other):
        for _ in range(40):
            await trio.sleep(2 * EXPIRY_S + 0.37)
            assert abs(other.clock.now() - house.now()) < timedelta(seconds=1)
            house.jump(by_s)
            if for_s < math.inf:
                await trio.sleep(for_s)
                house.jump(-by_s)
        await trio.sleep(2 * EXPIRY_S)
        patient.enough.set()
        await trio.sleep(1)
        (run,) = await house.store.runs()
        assert (run.state, run.attempt, run.rescues) == (RunState.SUCCEEDED, 1, 0)


@pytest.mark.parametrize("later_s", [0.0, 2 * EXPIRY_S])
async def test_a_worker_that_is_lost_after_a_jump_forward_is_found(autojump_clock: Any, later_s: float) -> None:
    """At most one lease later than without the jump."""
    async with two_at_work() as (house, patient, other):
        await trio.sleep(2 * EXPIRY_S)
        house.jump(HOUR_S)
        await trio.sleep(later_s)
        patient.kill()
        await trio.sleep(2 * EXPIRY_S + 2 * SLOW.rescue_s)
        assert other.begun == 1
