"""
Asks for runs while things go wrong, and cancels, pauses and shares keys as people do. Whatever it was answered, it remembers.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio

from bench.chaos.plan import Scale
from bench.chaos.work import CUSTOMER_SLOTS, FATES, HOUSE_SLOTS, NARROW_SLOTS, PATIENT
from etlplus.errors import Conflict, Unavailable
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import Job, JobDraft, NewRun, RunState, Uniqueness
from etlplus.jobs.queues import HOUSE, LimitDraft, QueueDraft, QueueMode
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.store.contract import Store

T = TypeVar("T")

AGAIN_AFTER_S = 0.2
CHUNKS = 400
CUSTOMERS = 40
SHARED_KEYS = 5
KINDS = {"pay": 0.45, "free": 0.32, "narrow": 0.2, "shared": 0.02, "command": 0.01}
CANCELLED_SHARE = 0.03
PAUSED_EVERY = 40
"""After so many chunks, a queue is paused for one chunk."""
FOREVER = Uniqueness(states=tuple(RunState))
PUBLISH = 'mkdir "$0/$ETLPLUS_RUN_ID" 2>/dev/null; trap "" TERM; sleep 0.2'
"""The effect of a command: a folder, which can be made once. It does not end when it is asked to."""
BEATS = {
    "beat1": {"every_s": 1, "misfire": "run_all", "overlap": "allow"},
    "beat2": {"every_s": 2, "misfire": "run_once", "overlap": "skip"},
    "beat3": {"every_s": 3, "misfire": "skip", "overlap": "queue_one"},
    "beat5": {"every_s": 5, "misfire": "run_all", "overlap": "cancel_old"},
}


def machine_now() -> datetime:
    return datetime.now(UTC)


class Driver:
    """See the module.

    Attributes:
        accepted: The run that answers each numbered wish.
        shared: Runs whose keys several wishes share, as far as they were told.
        cancelled: Runs whose end was asked for.
    """

    def __init__(self, store: Store, scale: Scale, seed: int, effects: Path) -> None:
        self._store = store
        self._scale = scale
        self._rng = Random(seed)
        self._effects = effects
        self._jobs: dict[str, Job] = {}
        self.accepted: dict[int, str] = {}
        self.shared: set[str] = set()
        self.cancelled: set[str] = set()
        self.schedules: list[Job] = []
        self.errors = 0

    async def furnish(self) -> None:
        """What has to be there before the nodes are."""
        now = machine_now()
        await self._store.save_queue(QueueDraft(name="narrow", slots=NARROW_SLOTS), now=now)
        await self._store.save_limit(LimitDraft(name="customer", slots=CUSTOMER_SLOTS), now=now)
        await self._store.save_limit(LimitDraft(name=HOUSE, slots=HOUSE_SLOTS), now=now)

    async def begin(self) -> None:
        """Wait for the jobs of the nodes, and store the others."""
        for name in ("pay", "free", "narrow", "beat"):
            while (job := await self._store.job_named(name)) is None:  # noqa: ASYNC110 - the store tells nobody
                await trio.sleep(AGAIN_AFTER_S)
            self._jobs[name] = job
        publish = Command(argv=("sh", "-c", PUBLISH, str(self._effects)), stop_grace_s=0.2)
        self._jobs["command"] = await self._save(JobDraft(name="command", command=publish, retry=PATIENT))
        start = machine_now() + timedelta(seconds=1)
        end = start + timedelta(seconds=self._scale.spread_s)
        for name, options in BEATS.items():
            schedule = IntervalSchedule(start_at=start, end_at=end, grace_s=1, **options)  # type: ignore[arg-type]
            self.schedules.append(
                await self._save(JobDraft(name=name, python="beat", retry=PATIENT, schedule=schedule))
            )

    async def ask(self) -> None:
        """Ask for all runs, in chunks spread over the time."""
        began, rng, numbers = trio.current_time(), self._rng, iter(range(self._scale.runs))
        sizes = _sizes(self._scale.runs, min(CHUNKS, self._scale.runs // 5), rng)
        async with trio.open_nursery() as nursery:
            for chunk, size in enumerate(sizes):
                await trio.sleep_until(began + self._scale.spread_s * chunk / len(sizes))
                wishes = {next(numbers): self._wish() for _ in range(size)}
                made = await self._ask(wishes)
                nursery.start_soon(self._cancel, [each for each in made if rng.random() < CANCELLED_SHARE])
                if chunk % PAUSED_EVERY == PAUSED_EVERY // 2:
                    await self._mode(QueueMode.PAUSED)
                if chunk % PAUSED_EVERY == PAUSED_EVERY // 2 + 1:
                    await self._mode(QueueMode.OPEN)
            await self._mode(QueueMode.OPEN)

    def _wish(self) -> tuple[str, dict[str, Any], float]:
        """The kind, the parameters and the delay of one run."""
        (kind,) = self._rng.choices(list(KINDS), list(KINDS.values()))
        (fate,) = self._rng.choices(list(FATES), list(FATES.values()))
        params: dict[str, Any] = {"fate": fate, "takes_s": round(self._rng.uniform(0, 0.2), 3)}
        if kind == "pay":
            params["customer"] = self._rng.randrange(CUSTOMERS)
        return kind, {} if kind == "command" else params, self._rng.choice([0.0] * 9 + [2.0])

    async def _ask(self, wishes: dict[int, tuple[str, dict[str, Any], float]]) -> list[str]:
        now, new = machine_now(), dict[int, NewRun]()
        for number, (kind, params, delay_s) in wishes.items():
            job = self._jobs["free" if kind == "shared" else kind]
            run_at = now + timedelta(seconds=delay_s) if delay_s else None
            key = {"unique_key": f"order-{number}", "unique": FOREVER}
            if kind == "shared":
                key = {"unique_key": f"shared-{number % SHARED_KEYS}"}
            new[number] = NewRun(job_id=job.id, params=params, run_at=run_at, **key)  # type: ignore[arg-type]
        runs = await self._insist(lambda: self._store.enqueue(list(new.values()), now=machine_now()))
        for number, run in zip(new, runs, strict=True):
            if wishes[number][0] == "shared":
                self.shared.add(run.id)
            else:
                self.accepted[number] = run.id
        return [run.id for run in runs]

    async def _cancel(self, runs: list[str]) -> None:
        for run in runs:
            await trio.sleep(random.uniform(0, 0.1))
            with suppress(Conflict):
                await self._insist(lambda run=run: self._store.cancel(run, now=machine_now()))
                self.cancelled.add(run)

    async def _mode(self, mode: QueueMode) -> None:
        await self._insist(lambda: self._store.set_queue_mode("narrow", mode, now=machine_now()))

    async def _save(self, draft: JobDraft) -> Job:
        return await self._store.save_job(draft, now=machine_now())

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until the store answers. What took effect without an answer is answered again: each wish has its key."""
        while True:
            try:
                return await ask()
            except Unavailable:
                self.errors += 1
                await trio.sleep(AGAIN_AFTER_S)


def _sizes(total: int, parts: int, rng: Random) -> list[int]:
    """Random sizes that add up to the total."""
    cuts = sorted(rng.randrange(total + 1) for _ in range(parts - 1))
    return [size for size in (b - a for a, b in zip([0, *cuts], [*cuts, total], strict=True)) if size]
