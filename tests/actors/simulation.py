"""
A cluster in a box: several workers on one store in memory, under a virtual clock, with seeded faults.

Nothing is mocked but the work itself: the staff, the runtime and the store are the real ones. Faults: actors crash, workers
are cut off from the store for longer than their lease while their attempts go on (zombies), store calls fail after they took
effect, attempts fail, engines break. The destination is fenced by a token per run, as a real sink is.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args

import trio
import trio.testing

from etlplus.actors.messages import (
    BELLMAN,
    BROADCASTER,
    COMPLETER,
    CORRESPONDENT,
    CREW,
    DISPATCHER,
    HEARTBEAT,
    RESCUE,
    RETENTION,
    SCHEDULER,
    SCRIBE,
    runner_name,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Slot, Standing
from etlplus.app.staff import Rhythm, staff
from etlplus.engines.contract import Lease, Reports, Work
from etlplus.engines.inline import Inline
from etlplus.errors import StoreUnavailable
from etlplus.jobs.ids import Ids
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import LIVE_STATES, Job, JobDraft, NewRun, RetryPolicy, Run, RunEvent, RunState, Worker
from etlplus.jobs.outcome import Failed, Figures, Progress, Result, Returned, RunError, Succeeded
from etlplus.jobs.queues import LimitDraft, LimitUse
from etlplus.jobs.rules import MisfireRule, OverlapRule
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.ticks import Tick
from etlplus.runtime import Name, Tell, open_system
from etlplus.settings import Settings
from etlplus.store.contract import RunFilter, Store
from etlplus.store.sqlite.body import open_sqlite

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RUNS = 24
AT_ONCE = 3
"""Every third run counts against a limit with so many slots."""
LIMIT_S = 3600.0
SLOW = Rhythm(probe_s=30, poll_s=30, poll_silent_s=10, tick_s=10, rescue_s=10)
"""Looking around is cheap in one real second, and dear in an hour that is over in one."""
BEAT_S = 5
BEATS = 20
"""A job is due that often, so many times."""


class Poison(Tell[Any]):
    """A message that nobody handles: whoever gets it crashes."""


def virtual_now() -> datetime:
    return EPOCH + timedelta(seconds=trio.current_time())


class Faulty:
    """A store that can be cut off, and that now and then takes effect without saying so."""

    def __init__(self, store: Store, rng: Random) -> None:
        self._store = store
        self._rng = rng
        self.cut_off = False
        self.calm = True

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._store, name)
        if name == "pull":
            return call  # it waits for nothing

        async def faulty(*args: Any, **kwargs: Any) -> Any:
            await trio.sleep(self._rng.uniform(0, 0.05))
            if self.cut_off:
                raise StoreUnavailable("cut off")
            answer = await call(*args, **kwargs)
            if not self.calm and self._rng.random() < 0.02:
                raise StoreUnavailable("the answer was lost")
            return answer

        return faulty


class Destination:
    """Commits of loads, fenced by a token per run: a second commit of a run changes nothing."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.refused = 0

    def commit(self, run_id: str) -> None:
        if self.rows[run_id]:
            self.refused += 1
        else:
            self.rows[run_id] += 1


class Node:
    """One worker, with a store of its own to be cut off from."""

    def __init__(self, number: int, world: World) -> None:
        self.number = number
        self.world = world
        self.rng = Random(world.rng.random())
        self.store = Faulty(world.store, self.rng)
        ids = Ids(self.rng)

        def new_worker() -> Worker:
            now = virtual_now()
            return Worker(
                id=ids.new(now), node=f"n{number}", pid=number, boot_id="", started_at=now, beat_at=now,
                expires_at=now + timedelta(seconds=60), slots=2, labels=(CALLS + "call",),
            )  # fmt: skip

        self.standing = Standing(
            worker=new_worker(), lease=Lease(float("-inf"), trio.current_time), slots=[Slot(0), Slot(1)], now=virtual_now,
            boottime_s=trio.current_time, new_worker=new_worker, calls_max=3,
        )  # fmt: skip

    async def live(self, stop: trio.Event) -> None:
        settings = Settings()
        newsroom = Newsroom(virtual_now)
        tree = staff(self.store, Inline(self.execute), self.standing, newsroom, settings, rhythm=SLOW)  # type: ignore[arg-type]
        async with (
            open_system(
                tree, seed=self.number, on_crash=lambda crash: None, on_dead_letter=lambda letter: None
            ) as system,
            trio.open_nursery() as nursery,
        ):
            self.store.calm = False
            nursery.start_soon(self._trouble, system)
            await stop.wait()
            nursery.cancel_scope.cancel()

    async def _trouble(self, system: Any) -> None:
        victims: list[Name[Any]] = [
            BELLMAN,
            BROADCASTER,
            COMPLETER,
            CORRESPONDENT,
            CREW,
            DISPATCHER,
            HEARTBEAT,
            RESCUE,
            RETENTION,
            SCHEDULER,
            SCRIBE,
        ]
        victims += [runner_name(0), runner_name(1)]
        while not self.store.calm:
            await trio.sleep(self.rng.uniform(8, 40))
            if self.rng.random() < 0.3:
                self.store.cut_off = True
                await trio.sleep(self.rng.uniform(1, 60))
                self.store.cut_off = False
            else:
                system.ref(self.rng.choice(victims)).tell(Poison())

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        """A load: takes a while, reports, may fail, obeys its lease only most of the time."""
        obeys = self.rng.random() < 0.8
        reports.log("begun")
        for part in range(self.rng.randint(1, 6)):
            await trio.sleep(self.rng.uniform(0.1, 6))
            reports.progress(Progress("loading", rows_read=part))
            if obeys and trio.current_time() > lease.deadline:
                return Returned("the lease ran out")
        fate = self.rng.random()
        if fate < 0.1:
            return Failed(RunError("data_error", "bad luck", retryable=True))
        if fate < 0.15:
            raise RuntimeError("the engine broke")
        self.world.destination.commit(work.run_id)
        return Succeeded(Figures(rows_read=1, rows_loaded=1))


class World:
    """One simulated story, from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.destination = Destination()
        self.store: Store
        self.runs: list[Run] = []
        self.events: list[RunEvent] = []
        self.limited_most = 0
        self.timed: Job
        self.ticks: list[Tick] = []

    async def _save_timed(self, retry: RetryPolicy) -> Job:
        """A job with a schedule, whose rules are up to the seed."""
        schedule = IntervalSchedule(
            every_s=BEAT_S,
            end_at=virtual_now() + timedelta(seconds=BEAT_S * BEATS),
            misfire=self.rng.choice(get_args(MisfireRule)),
            overlap=self.rng.choice(get_args(OverlapRule)),
            jitter_s=self.rng.choice([0.0, 3.0]),
            grace_s=self.rng.choice([0.0, 1.0]),
        )
        draft = JobDraft(name="timed", pipeline={}, retry=retry, schedule=schedule)
        return await self.store.save_job(draft, now=virtual_now())

    async def play(self) -> None:
        """Let it happen until no run is unfinished."""
        async with open_sqlite(None, Random(self.rng.random())) as self.store:
            retry = RetryPolicy(attempts_max=1000, base_s=1, cap_s=5)
            load = await self.store.save_job(JobDraft(name="load", pipeline={}, retry=retry), now=virtual_now())
            call = await self.store.save_job(JobDraft(name="call", python="call", retry=retry), now=virtual_now())
            await self.store.save_limit(LimitDraft(name="scarce", slots=AT_ONCE), now=virtual_now())
            scarce = JobDraft(name="scarce", pipeline={}, retry=retry, limit=LimitUse("scarce"))
            limited = await self.store.save_job(scarce, now=virtual_now())
            self.timed = await self._save_timed(retry)
            stop = trio.Event()
            nodes = [Node(number, self) for number in range(3)]
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(node.live, stop)
                nursery.start_soon(self._watch_limit, stop)
                for number in range(RUNS):
                    await trio.sleep(self.rng.uniform(0, 5))
                    job = (limited, load, call)[number % 3]
                    await self.store.enqueue([NewRun(job_id=job.id)], now=virtual_now())
                for node in nodes:
                    node.store.calm = True
                with trio.fail_after(LIMIT_S):
                    while await self._going_on():  # noqa: ASYNC110 - the clock is virtual
                        await trio.sleep(1)
                stop.set()
            self.runs = await self.store.runs(limit=1000)
            self.ticks = await self.store.ticks(self.timed.id, limit=1000)
            for run in self.runs:
                self.events += await self.store.events(run.id)

    async def _watch_limit(self, stop: trio.Event) -> None:
        """Look again and again how many runs are in hand under the limit."""
        while not stop.is_set():
            running = await self.store.runs(RunFilter(states=(RunState.RUNNING,)), limit=1000)
            self.limited_most = max(self.limited_most, sum(run.limit == "scarce" for run in running))
            await trio.sleep(0.2)

    async def _going_on(self) -> bool:
        """Whether anything is unfinished or still due."""
        if (await self.store.job(self.timed.id)).next_at is not None:
            return True
        return bool(await self.store.runs(RunFilter(states=tuple(LIVE_STATES)), limit=1))

    def trace(self) -> str:
        """A fingerprint of everything that happened to every run, and when."""
        lines = [f"{event.run_id} {event.version} {event.at} {event.kind} {event.attempt}" for event in self.events]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def play(seed: int) -> World:
    """Play one seed to its end, with Trio's own choices seeded too."""
    world = World(seed)
    core: Any = trio._core._run
    allowed, core._ALLOW_DETERMINISTIC_SCHEDULING = core._ALLOW_DETERMINISTIC_SCHEDULING, True
    state = core._r.getstate()
    core._r.seed(seed)
    import random

    random.seed(seed)
    try:
        trio.run(world.play, clock=trio.testing.MockClock(autojump_threshold=0))
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        core._r.setstate(state)
    return world
