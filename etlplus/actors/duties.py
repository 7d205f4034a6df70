"""
Duties: what has to be done again and again, whoever works: make due runs, and take back the runs of lost workers.

Every node does them. No leader is elected, because the store's constraints let exactly one of any number succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from etlplus.actors.messages import (
    DISPATCHER,
    CancelHere,
    Rescue,
    Rescued,
    RescueFailed,
    Rescuing,
    Scheduling,
    Tick,
    Ticked,
    TickFailed,
    Wake,
)
from etlplus.actors.newsroom import Newsroom, Stirred
from etlplus.actors.standing import Standing
from etlplus.actors.watchers import SCHEDULES
from etlplus.jobs.model import Run, RunState
from etlplus.runtime import Actor
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()

BREATH_S = 0.005
"""Between two ticks of which the first found nothing to do, though something is due."""
BATCH_MAX = 500
"""Of runs that are taken back in one go."""
RETRY_AFTER_S = 1.0
"""While the store is out, and somebody is known to be dead."""


class Scheduler(Actor[Scheduling]):
    """Has schedules decided when they are due, and delayed runs queued.

    It sleeps until the store says that something is due, and at most ``tick_s``: what others put into the store meanwhile may
    be due earlier. If something is due that the last tick left, another node has it in hand, and is given ``BREATH_S``.
    """

    def __init__(self, store: LeaseStore, standing: Standing, newsroom: Newsroom, *, tick_s: float) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._tick_s = tick_s
        self._under_way = False

    async def started(self) -> None:
        self._ask()

    @Tick.handler
    def tick(self, message: Tick) -> None:
        self._ask()

    @Ticked.handler
    def ticked(self, message: Ticked) -> None:
        self._under_way = False
        if message.job_ids:
            self._newsroom.tell(Stirred(SCHEDULES, message.job_ids))
        if message.runs:
            self._newsroom.tell(*message.runs)
        if wake := Wake.of(message.runs):
            self.ctx.ref(DISPATCHER).offer(wake)
        if cancel := tuple(run.id for run in message.runs if run.state is RunState.RUNNING):
            self.ctx.ref(DISPATCHER).offer(CancelHere(cancel))
        self._sleep(self._wait_s(message))

    @TickFailed.handler
    def failed(self, message: TickFailed) -> None:
        self._under_way = False
        log.warning("tick_failed", error=message.error)
        self._sleep(self._tick_s)

    def _wait_s(self, message: Ticked) -> float:
        if message.due_at is None:
            return self._tick_s
        least_s = 0.0 if message.runs else BREATH_S
        return min(max((message.due_at - self._standing.now()).total_seconds(), least_s), self._tick_s)

    def _sleep(self, seconds: float) -> None:
        self.ctx.after(seconds, Tick(), key="tick")

    def _ask(self) -> None:
        if not self._under_way:
            self._under_way = True
            self.ctx.pipe(self._tick(), lambda ticked: ticked, lambda error: TickFailed(str(error)))

    async def _tick(self) -> Ticked:
        decided: list[str] = []
        runs = await self._store.tick(now=self._standing.now(), tell=decided.extend)
        return Ticked(tuple(runs), tuple(decided), (await self._store.queued_hint()).due_at)


class RescueDuty(Actor[Rescuing]):
    """Takes back the runs of workers whose lease ran out.

    ``dead`` are workers known to be gone when this one started: predecessors in the same data directory, which only one
    daemon can hold. Their runs are taken back at once, or as soon as the store answers. Nobody else is rescued until it has
    answered for one whole expiry, ``grace_s``, since after an outage every lease looks old.
    """

    def __init__(
        self,
        store: LeaseStore,
        standing: Standing,
        newsroom: Newsroom,
        *,
        dead: Sequence[str],
        every_s: float,
        grace_s: float,
    ) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._dead = tuple(dead)
        self._every_s = every_s
        self._grace_s = grace_s
        self._under_way = False

    async def started(self) -> None:
        self.ctx.after(0 if self._dead else self._grace_s, Rescue(), key="rescue")

    @Rescue.handler
    def rescue(self, message: Rescue) -> None:
        if not self._under_way:
            self._under_way = True
            self.ctx.pipe(self._rescue(), Rescued, lambda error: RescueFailed(str(error)))

    @Rescued.handler
    def rescued(self, message: Rescued) -> None:
        self._under_way = False
        self._tell(message.runs)
        more = len(message.runs) >= BATCH_MAX
        wait_s = self._grace_s if self._dead else self._every_s
        self._dead = self._dead if more else ()
        self.ctx.after(0 if more else wait_s, Rescue(), key="rescue")

    @RescueFailed.handler
    def failed(self, message: RescueFailed) -> None:
        self._under_way = False
        log.warning("rescue_failed", error=message.error)
        self.ctx.after(RETRY_AFTER_S if self._dead else self._grace_s, Rescue(), key="rescue")

    async def _rescue(self) -> tuple[Run, ...]:
        """Whoever judges the leases of others shows first, by the same time, that he lives: a clock that has jumped since the
        last beat makes every lease look old, his own as well.
        """
        now = self._standing.now()
        if not self._dead:
            expires_at, attends = now + timedelta(seconds=self._grace_s), self._newsroom.attends
            await self._store.beat(self._standing.worker.id, now=now, expires_at=expires_at, attends=attends)
        return tuple(await self._store.rescue(now=now, dead=self._dead, limit=BATCH_MAX))

    def _tell(self, runs: tuple[Run, ...]) -> None:
        if runs:
            log.warning("runs_rescued", runs=[run.id for run in runs])
            self._newsroom.tell(*runs)
            self.ctx.ref(DISPATCHER).offer(Wake())
