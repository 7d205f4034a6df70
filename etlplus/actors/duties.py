"""
Duties: what has to be done again and again, whoever works: make due runs, and take back the runs of lost workers.

Every node does them. No leader is elected, because the store's constraints let exactly one of any number succeed.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from etlplus.actors.messages import (
    BROADCASTER,
    DISPATCHER,
    Announce,
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
from etlplus.actors.standing import Standing
from etlplus.jobs.model import Run
from etlplus.runtime import Actor
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()


class Scheduler(Actor[Scheduling]):
    """Turns due schedules into runs, and delayed runs into queued ones."""

    def __init__(self, store: LeaseStore, standing: Standing, *, tick_s: float) -> None:
        self._store = store
        self._standing = standing
        self._tick_s = tick_s
        self._under_way = False

    async def started(self) -> None:
        self.ctx.every(self._tick_s, Tick(), key="tick")
        self._ask()

    @Tick.handler
    def tick(self, message: Tick) -> None:
        self._ask()

    @Ticked.handler
    def ticked(self, message: Ticked) -> None:
        self._under_way = False
        if message.runs:
            self.ctx.ref(BROADCASTER).offer(Announce(message.runs))
            self.ctx.ref(DISPATCHER).offer(Wake())
            self._ask()

    @TickFailed.handler
    def failed(self, message: TickFailed) -> None:
        self._under_way = False
        log.warning("tick_failed", error=message.error)

    def _ask(self) -> None:
        if not self._under_way:
            self._under_way = True
            self.ctx.pipe(self._tick(), Ticked, lambda error: TickFailed(str(error)))

    async def _tick(self) -> tuple[Run, ...]:
        return tuple(await self._store.tick(now=self._standing.now()))


class RescueDuty(Actor[Rescuing]):
    """Takes back the runs of workers whose lease ran out.

    ``dead`` are workers known to be gone when this one started: predecessors in the same data directory, which only one
    daemon can hold. Their runs are taken back before this actor is ready. Nobody else is rescued until the store has
    answered for one whole expiry, since after an outage every lease looks old.
    """

    def __init__(
        self, store: LeaseStore, standing: Standing, *, dead: Sequence[str], every_s: float, grace_s: float
    ) -> None:
        self._store = store
        self._standing = standing
        self._dead = tuple(dead)
        self._every_s = every_s
        self._grace_s = grace_s
        self._under_way = False

    async def started(self) -> None:
        if self._dead:
            self._tell(tuple(await self._store.rescue(now=self._standing.worker.started_at, dead=self._dead)))
        self.ctx.after(self._grace_s, Rescue(), key="rescue")

    @Rescue.handler
    def rescue(self, message: Rescue) -> None:
        if not self._under_way:
            self._under_way = True
            self.ctx.pipe(self._rescue(), Rescued, lambda error: RescueFailed(str(error)))

    @Rescued.handler
    def rescued(self, message: Rescued) -> None:
        self._under_way = False
        self._tell(message.runs)
        self.ctx.after(self._every_s, Rescue(), key="rescue")

    @RescueFailed.handler
    def failed(self, message: RescueFailed) -> None:
        self._under_way = False
        log.warning("rescue_failed", error=message.error)
        self.ctx.after(self._grace_s, Rescue(), key="rescue")

    async def _rescue(self) -> tuple[Run, ...]:
        return tuple(await self._store.rescue(now=self._standing.now()))

    def _tell(self, runs: tuple[Run, ...]) -> None:
        if runs:
            log.warning("runs_rescued", runs=[run.id for run in runs])
            self.ctx.ref(BROADCASTER).offer(Announce(runs))
            self.ctx.ref(DISPATCHER).offer(Wake())
