"""The scheduler under a virtual clock, with the whole staff of one worker: what is due starts when it is due."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
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
from etlplus.errors import StoreUnavailable
from etlplus.jobs.model import JobDraft, NewRun, Run
from etlplus.jobs.outcome import Figures, Result, Succeeded
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.sqlite.body import SqliteStore

MARGIN_S = 0.2
"""The store of a node answers each call within 50 ms; a tick is two calls, a claim is one."""


class Carrier(Process):
    """A worker whose attempts take a while; it notes when each began and ended, and for what."""

    takes_s = 0.0

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.began: list[tuple[float, Work]] = []
        self.over_at: list[float] = []

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        self.began.append((trio.current_time(), work))
        try:
            await trio.sleep(self.takes_s)
        finally:
            self.over_at.append(trio.current_time())
        return Succeeded(Figures())


@asynccontextmanager
async def at_work() -> AsyncGenerator[tuple[SqliteStore, Carrier]]:
    """A store with one worker, that has been at work for a while, as somebody else has it; nothing goes wrong."""
    with open_house(Random(1)) as house:
        house.calm = True
        carrier = Carrier(World(house, Random(1)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carrier.live)
            await trio.sleep(10)
            yield house.new_seat(), carrier
            carrier.stop.set()


async def test_what_is_due_starts_when_it_is_due(autojump_clock: Any) -> None:
    """Schedules, delayed runs: each begins at its time and not at the next look of a clockwork."""
    async with at_work() as (store, carrier):
        start_at = virtual_now() + timedelta(seconds=3.37)
        due_s = [trio.current_time() + 3.37 + 5.25 * beat for beat in range(4)]
        schedule = IntervalSchedule(every_s=5.25, start_at=start_at)
        job = await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        due_s.append(trio.current_time() + 7.77)
        await store.enqueue([NewRun(job_id=job.id, run_at=virtual_now() + timedelta(seconds=7.77))], now=virtual_now())
        await store.ring()
        await trio.sleep(3.37 + 5.25 * 3 + 1)
        began_s = [at for at, _ in carrier.began]
        assert len(began_s) == len(due_s)
        for due, began in zip(sorted(due_s), began_s, strict=True):
            assert due <= began < due + MARGIN_S


async def test_a_tick_that_failed_is_made_again(autojump_clock: Any) -> None:
    """Though nobody rings: by the rule of the schedule for what passed, and then on time."""

    async def refuse(**_: Any) -> list[Run]:
        raise StoreUnavailable("two wait for each other")

    async with at_work() as (store, carrier):
        schedule = IntervalSchedule(every_s=10, start_at=virtual_now() + timedelta(seconds=10))
        job = await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        await trio.sleep(8)
        carrier.line.tick = refuse
        await trio.sleep(15)
        del carrier.line.tick
        await trio.sleep(15)
        ticks = reversed(await store.ticks(job.id))
        assert [(tick.outcome, tick.count) for tick in ticks] == [("coalesced", 1), ("fired", 1), ("fired", 1)]


async def test_what_others_put_in_is_heard_of(autojump_clock: Any) -> None:
    """A schedule that is saved while the scheduler sleeps, and is due before it meant to wake: who saved it rings."""
    async with at_work() as (store, carrier):
        due = trio.current_time() + 0.1
        schedule = IntervalSchedule(every_s=600, start_at=virtual_now() + timedelta(seconds=0.1))
        await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        await trio.sleep(2)
        ((began, _),) = carrier.began
        assert due <= began < due + 1 + MARGIN_S


async def test_the_engine_is_told_the_interval(autojump_clock: Any) -> None:
    """As text, from one moment to the other; a run by hand has none."""
    async with at_work() as (store, carrier):
        schedule = IntervalSchedule(every_s=60)
        job = await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        await store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
        await store.ring()
        await trio.sleep(61)
        assert job.next_at is not None
        told = [work.interval for _, work in carrier.began]
        assert told == [None, (job.updated_at.isoformat(), job.next_at.isoformat())]


async def test_a_run_that_its_schedule_replaces_is_stopped_at_once(autojump_clock: Any) -> None:
    """On the worker whose scheduler ticked, before the next beat could tell; on its slot the new run begins."""
    async with at_work() as (store, carrier):
        carrier.takes_s = 1000
        schedule = IntervalSchedule(every_s=7, overlap="cancel_old")
        job = await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        await trio.sleep(14 + MARGIN_S)
        assert [round(at - carrier.began[0][0]) for at in carrier.over_at] == [7]
        new, old = await store.runs()
        assert (old.state, new.state) == ("cancelled", "running")
        assert old.finished_at is not None
        assert old.finished_at - new.created_at < timedelta(seconds=MARGIN_S)
        assert [tick.run_id for tick in await store.ticks(job.id)] == [new.id, old.id]


async def test_a_run_that_waited_its_turn_begins_when_the_one_before_has_ended(autojump_clock: Any) -> None:
    """In one go with the acknowledgement: nobody waits for a tick or a poll in between."""
    async with at_work() as (store, carrier):
        carrier.takes_s = 9
        schedule = IntervalSchedule(every_s=7, overlap="queue_one")
        await store.save_job(JobDraft(name="job", pipeline={}, schedule=schedule), now=virtual_now())
        await store.ring()
        await trio.sleep(7 + 9 + 2 * MARGIN_S)
        (first, _), (second, _) = carrier.began
        assert 9 <= second - first < 9 + 2 * MARGIN_S
