"""
People: who wish for runs, cancel some, pause a queue, and look after dead letters, while everything else goes wrong.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import get_args

import trio

from etlplus.errors import Conflict
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import LIVE_STATES, Job, JobDraft, NewRun, RetryPolicy
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.jobs.rates import Rate
from etlplus.jobs.rules import MisfireRule, OverlapRule
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import RunFilter

from .house import House
from .times import virtual_now

BEAT_S = 4
"""A job is due that often."""
CAPS = {"*": 8, "scarce": 2, "keyed/a": 1, "keyed/b": 1, "paced": 2, "/narrow": 1}
PACE = Rate(count=1, per_s=4, burst=2)
HOUSE_PACE = Rate(count=1, per_s=1, burst=3)
"""In every fourth night all runs begin at this pace."""
PATIENT = RetryPolicy(attempts_max=1000, base_s=0.5, cap_s=4)
WISHES = (
    "scarce",
    "keyed",
    "call",
    "narrow",
    "load",
    "scarce",
    "keyed",
    "fragile",
    "unique",
    "paced",
    "paced",
    "unique",
)
CROWD = ("call",) * len(WISHES)
CROWDED = {"*": 3}
"""Where all want the same, they get their slots from each other."""
TOGETHER = 4
"""So many wishes are made in one call."""


class People:
    """See the module.

    Attributes:
        accepted: The runs that were made for them.
        cancelled: Those that they asked to be cancelled.
    """

    def __init__(self, house: House, rng: Random, *, crowd: bool) -> None:
        self.accepted: set[str] = set()
        self.cancelled: set[str] = set()
        self.timed: Job
        self._house = house
        self._store = house.new_seat()
        self._rng = rng
        self._crowd = crowd
        self._jobs: dict[str, str] = {}

    async def settle_in(self, beats: int) -> None:
        """Define jobs, queues and limits."""
        now = virtual_now()
        self._house.caps.update(CAPS | CROWDED if self._crowd else CAPS)
        self._house.rates["paced"] = PACE
        if self._rng.random() < 0.25:
            self._house.rates["*"] = HOUSE_PACE
        for name, key in {HOUSE: "*", "scarce": "scarce", "keyed": "keyed/a", "paced": "paced"}.items():
            draft = LimitDraft(name=name, slots=self._house.caps[key], rate=self._house.rates.get(key))
            await self._store.save_limit(draft, now=now)
        await self._store.save_queue(QueueDraft(name="narrow", slots=CAPS["/narrow"]), now=now)
        for draft in (
            JobDraft(name="load", pipeline={}, retry=PATIENT),
            JobDraft(name="call", python="call", retry=PATIENT),
            JobDraft(name="scarce", pipeline={}, retry=PATIENT, limit=LimitUse("scarce")),
            JobDraft(name="keyed", python="call", retry=PATIENT, limit=LimitUse("keyed", by="key")),
            JobDraft(name="paced", python="call", retry=PATIENT, limit=LimitUse("paced")),
            JobDraft(name="narrow", pipeline={}, retry=PATIENT, queue="narrow"),
            JobDraft(name="fragile", pipeline={}, retry=RetryPolicy(attempts_max=2, base_s=0.5)),
            JobDraft(name="unique", python="call", retry=PATIENT),
        ):
            self._jobs[draft.name] = (await self._store.save_job(draft, now=now)).id
        self.timed = await self._store.save_job(self._timed(beats), now=now)

    def _timed(self, beats: int) -> JobDraft:
        """A job with a schedule, whose rules are up to the seed."""
        schedule = IntervalSchedule(
            every_s=BEAT_S,
            end_at=virtual_now() + timedelta(seconds=BEAT_S * beats),
            misfire=self._rng.choice(get_args(MisfireRule)),
            overlap=self._rng.choice(get_args(OverlapRule)),
            jitter_s=self._rng.choice([0.0, 3.0]),
            grace_s=self._rng.choice([0.0, 1.0]),
        )
        return JobDraft(name="timed", pipeline={}, retry=PATIENT, schedule=schedule)

    async def be_busy(self, rounds: int) -> None:
        """Wish and meddle; returns when they have done all they meant to."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wish, rounds)
            nursery.start_soon(self._pause)
            for _ in range(2 * rounds):
                nursery.start_soon(self._cancel)

    async def _wish(self, rounds: int) -> None:
        for _ in range(rounds):
            names = CROWD if self._crowd else self._rng.sample(WISHES, len(WISHES))
            wishes = [self._new_wish(name) for name in names]
            for first in range(0, len(wishes), TOGETHER):
                runs = await self._store.enqueue(wishes[first : first + TOGETHER], now=virtual_now())
                self._house.seen["held by another"] += len(runs) - len({run.id for run in runs} - self.accepted)
                self.accepted.update(run.id for run in runs)
                await self._look_at_key()
                await self._store.ring()
                await trio.sleep(self._rng.uniform(0.5, 6))

    async def _look_at_key(self) -> None:
        """One key has one unfinished run at most."""
        of_key = RunFilter(states=tuple(LIVE_STATES), job_id=self._jobs["unique"])
        if len(holders := await self._store.runs(of_key)) > 1:
            self._house.broken.append(f"one key has {len(holders)} runs")

    def _new_wish(self, name: str) -> NewRun:
        later_s = self._rng.choice([0, 0, 0, 2])
        return NewRun(
            job_id=self._jobs[name],
            params={"key": self._rng.choice("ab")},
            unique_key="one" if name == "unique" else None,
            run_at=virtual_now() + timedelta(seconds=later_s) if later_s else None,
        )

    async def _cancel(self) -> None:
        await trio.sleep(self._rng.uniform(2, 20))
        runs = await self._store.runs(RunFilter(states=tuple(LIVE_STATES)), limit=1000)
        if runs:
            self.cancelled.add((chosen := self._rng.choice(runs)).id)
            with suppress(Conflict):  # it has just ended
                await self._store.cancel(chosen.id, now=virtual_now())
            await self._store.ring()

    async def _pause(self) -> None:
        await trio.sleep(self._rng.uniform(0, 10))
        await self._store.set_queue_mode("narrow", QueueMode.PAUSED, now=virtual_now())
        await trio.sleep(self._rng.uniform(1, 10))
        await self._store.set_queue_mode("narrow", QueueMode.OPEN, now=virtual_now())
        await self._store.ring()

    async def look_after_letters(self) -> None:
        """Replay one dead letter, and discard another."""
        letters = await self._store.dead_letters()
        for letter in letters[:1]:
            which = LetterFilter(run_ids=(letter.run.id,))
            for replay in await self._store.replay(which, now=virtual_now()):
                assert replay.run is not None, replay.problems
                self.accepted.add(replay.run.id)
                self._house.seen["replayed"] += 1
        for letter in letters[1:2]:
            which = LetterFilter(run_ids=(letter.run.id,))
            await self._store.discard(which, reason="nobody misses it", now=virtual_now())
        await self._store.ring()

    async def wait_done(self) -> None:
        """Wait until nothing is unfinished or still due."""
        while await self._going_on():  # noqa: ASYNC110 - the clock is virtual
            await trio.sleep(2)

    async def _going_on(self) -> bool:
        if (await self._store.job(self.timed.id)).next_at is not None:
            return True
        return bool(await self._store.runs(RunFilter(states=tuple(LIVE_STATES)), limit=1))
