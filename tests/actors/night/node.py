"""
Nodes: machines with one worker process at a time, which is a whole staff on a line to the store of the house.

A process can crash in part, be cut off from the store, be frozen while time goes on, be killed, and be asked to stop. Its
clock may be wrong. The attempts that it carries obey their lease only most of the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

import trio

from etlplus.actors.bellman import Earshot
from etlplus.actors.clock import SharedClock
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Slot, Standing
from etlplus.app.staff import Rhythm, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.ids import Ids
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import Worker
from etlplus.jobs.outcome import Failed, Figures, Progress, Result, Returned, RunError, Succeeded
from etlplus.runtime import Crash, System, SystemFailed, open_system
from etlplus.settings import Settings
from etlplus.settings.schema import Lease as LeaseSettings
from etlplus.settings.schema import Shutdown

from .house import House, Line
from .times import virtual_now

EXPIRY_S = 9.0
SETTINGS = Settings(lease=LeaseSettings(beat_s=3.0, expiry_s=EXPIRY_S), shutdown=Shutdown(drain_s=2.0))
SLOW = Rhythm(probe_s=30, poll_s=16, poll_silent_s=8, tick_s=8, rescue_s=6)
"""Looking around is cheap in one real second, and dear in an hour that is over in one."""
LABELS = (CALLS + "call",)
ROUNDED_S = 0.00001
"""Times are written down by the microsecond."""


class Destination:
    """Commits of loads, with a token per run: a second commit of a run changes nothing."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.refused = 0

    def commit(self, run_id: str) -> None:
        if self.rows[run_id]:
            self.refused += 1
        else:
            self.rows[run_id] += 1


class CheckedClock(SharedClock):
    """The clock of a process. Whenever the store has told it the time, it is right within what the answer took."""

    def __init__(self, process: Process) -> None:
        super().__init__(process.machine_now, process.boottime_s, memory_s=EXPIRY_S)
        self._process = process

    async def look(self, store: Any) -> None:
        house, asked_at_s = self._process.world.house, self._process.boottime_s()
        jumps = house.jumps
        await super().look(store)
        if house.tells_time and house.jumps == jumps:
            off_s = abs(self.now() - house.now()).total_seconds()
            if off_s > trio.current_time() - asked_at_s + ROUNDED_S:
                house.broken.append(f"a clock is {off_s} s off")
            house.clock_off_s = max(house.clock_off_s, off_s)
            machine_off_s = abs(self._process.machine_now() - house.now()).total_seconds()
            house.seen["right by a wrong machine"] += off_s < 1 < machine_off_s


class Surroundings(Protocol):
    """What a process needs of its world."""

    house: House
    destination: Destination
    rng: Random
    crashes: list[Crash]
    unaccounted: int


class Process:
    """One life of a worker. See the module."""

    def __init__(self, world: Surroundings, number: int = 0, *, ahead_s: float = 0.0) -> None:
        self.world = world
        self.number = number
        self.rng = Random(world.rng.random())
        self.ahead_s = ahead_s
        self.dead = self.cut_off = False
        self.stop, self.hurry = trio.Event(), trio.Event()
        self.system: System | None = None
        self.line = Line(world.house, self)
        self.clock = CheckedClock(self)
        self.standing: Standing
        self._frozen_at: float | None = None
        self._thawed = trio.Event()

    def _new_standing(self) -> Standing:
        ids = Ids(self.rng)

        def new_worker() -> Worker:
            now = self.clock.now()
            return Worker(
                id=ids.new(now), node=f"n{self.number}", pid=self.number, boot_id="", started_at=now, beat_at=now,
                expires_at=now + timedelta(seconds=EXPIRY_S), slots=2, labels=LABELS,
            )  # fmt: skip

        return Standing(
            worker=new_worker(), lease=Lease(float("-inf"), self.boottime_s), slots=[Slot(0), Slot(1)], now=self.clock.now,
            boottime_s=self.boottime_s, new_worker=new_worker, calls_max=2, clock=self.clock, hurry=self.hurry,
        )  # fmt: skip

    def machine_now(self) -> datetime:
        """What the clock of the machine shows."""
        return virtual_now() + timedelta(seconds=self.ahead_s)

    def boottime_s(self) -> float:
        """A frozen process sees no time pass until it goes on."""
        return trio.current_time() if self._frozen_at is None else self._frozen_at

    def freeze(self) -> None:
        """Nothing of it goes on, but for timers that nobody outside can notice, until it is thawed."""
        if self._frozen_at is None:
            self._frozen_at, self._thawed = trio.current_time(), trio.Event()

    def thaw(self) -> None:
        self._frozen_at = None
        self._thawed.set()

    async def wait_thawed(self) -> None:
        while self._frozen_at is not None:
            await self._thawed.wait()

    def kill(self) -> None:
        """From now on nobody hears of it: its calls reach nobody, and what it carries commits nothing."""
        if self.system is not None and not self.stop.is_set():
            self.world.house.seen["killed at work"] += 1
        self.dead = True
        self.thaw()
        self.hurry.set()
        self.stop.set()

    async def live(self, dead: Sequence[str] = ()) -> None:
        """Work until asked to stop or killed.

        Raises:
            SystemFailed: it could not start, or gave up.
            StoreUnavailable: it could not ask for the time, or leave.
        """
        await self.clock.look(self.line)
        self.standing, earshot = self._new_standing(), Earshot()
        tree = staff(
            self.line,  # type: ignore[arg-type]  # it hands on whatever it is asked
            Inline(self.execute), self.standing, Newsroom(self.clock.now), SETTINGS, dead=dead, rhythm=SLOW, earshot=earshot,
        )  # fmt: skip
        seed = self.rng.getrandbits(32)
        crashed = self.world.crashes.append
        system: System | None = None
        try:
            async with open_system(tree, seed=seed, on_crash=crashed, on_dead_letter=lambda letter: None) as system:
                self.system = system
                await self.stop.wait()
        finally:
            if system is not None:
                self.world.unaccounted += abs(system.statistics().unaccounted)
            self.world.house.seen["heard no bells"] += earshot.silences
        if not self.dead:
            await self.line.leave(self.standing.worker.id, now=self.clock.now())

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        """A load: takes a while, reports, may fail, obeys its lease only most of the time."""
        with self.world.house.working(work.run_id, self, lease):
            return await self._carry(work, lease, reports)

    async def _carry(self, work: Work, lease: Lease, reports: Reports) -> Result:
        obeys = self.rng.random() < 0.8
        reports.log("begun")
        for part in range(self.rng.randint(1, 3)):
            await trio.sleep(self.rng.uniform(0.1, 5))
            await self.wait_thawed()
            reports.progress(Progress("loading", rows_read=part))
            if obeys and self.boottime_s() > lease.deadline:
                return Returned("the lease ran out")
        fate = self.rng.random()
        if fate < (0.6 if work.job_name == "fragile" else 0.1):
            return Failed(RunError("data_error", "bad luck", retryable=True))
        if fate > 0.95:
            raise RuntimeError("the engine broke")
        if self.dead:
            await trio.sleep_forever()
        self.world.destination.commit(work.run_id)
        return Succeeded(Figures(rows_read=1, rows_loaded=1))


class Node:
    """A machine that starts its worker again whenever it has ended. What it is like outlives the process: clock, number."""

    def __init__(self, world: Surroundings, number: int) -> None:
        self.world = world
        self.number = number
        self.rng = Random(world.rng.random())
        self.ahead_s = self.rng.uniform(-1, 1)
        self.process = Process(world, number, ahead_s=self.ahead_s)
        self.over = False

    def shift_clock(self, ahead_s: float) -> None:
        """Set the clock."""
        self.ahead_s = self.process.ahead_s = ahead_s

    def end(self) -> None:
        """Stop in order, and stay off."""
        self.over = True
        self.process.stop.set()

    async def keep_running(self) -> None:
        seen = self.world.house.seen
        dead: tuple[str, ...] = ()
        while not self.over:
            try:
                await self.process.live(dead)
            except SystemFailed:
                seen["gave up"] += 1
                await trio.sleep(self.rng.uniform(2, 10))
            except StoreUnavailable:
                seen["left unheard"] += 1
            await trio.sleep(self.rng.uniform(0.2, 8))
            dead = await self._predecessors()
            self.process = Process(self.world, self.number, ahead_s=self.ahead_s)

    async def _predecessors(self) -> tuple[str, ...]:
        """Half of the processes know that the one before them cannot live any more."""
        if self.rng.random() < 0.5:
            return ()
        return tuple(each.id for each in await self.world.house.store.workers() if each.node == f"n{self.number}")
