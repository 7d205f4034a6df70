"""
A runner: carries one attempt at a time, from the claim to the outcome.

It owns the attempt's engine call and nothing else; the attempt itself lies in the runner's slot, which outlives a crash, so
a restarted runner settles what its predecessor left.
"""

from __future__ import annotations

import structlog
import trio

from etlplus.actors.carriage import Executing
from etlplus.actors.messages import (
    COMPLETER,
    DISPATCHER,
    SCRIBE,
    Carried,
    Carry,
    Carrying,
    Flush,
    StopCarrying,
    Wake,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.reports import AttemptReports, Audience
from etlplus.actors.standing import Slot, Standing
from etlplus.jobs.outcome import Cancelled, Failed, Returned, RunError
from etlplus.runtime import Actor, Exit, Task
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()

STOPPING = Returned("the worker is stopping")


class Runner(Actor[Carrying]):
    """See the module.

    Args:
        drain_s: How long an attempt in hand may go on once the worker stops, in seconds.
    """

    def __init__(
        self,
        slot: Slot,
        engine: Executing,
        store: LeaseStore,
        standing: Standing,
        newsroom: Newsroom,
        *,
        drain_s: float,
    ) -> None:
        self._slot = slot
        self._engine = engine
        self._standing = standing
        self._store = store
        self._newsroom = newsroom
        self._drain_s = drain_s
        self._task: Task | None = None

    async def started(self) -> None:
        self._audience = Audience(self._store, self._standing, self._newsroom, self.ctx.ref(SCRIBE))
        self._settle()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Let the attempt in hand finish within the drain budget, else give the run back."""
        carriage = self._slot.carriage
        if carriage is None or self._task is None:
            return
        with trio.move_on_after(self._drain_s):
            await self._standing.first_of(self._task.wait_ended, self._standing.hurry.wait)
        carriage.interrupt(STOPPING)
        await self._task.wait_ended()
        self._settle()

    @Carry.handler
    def carry(self, message: Carry) -> None:
        carriage = self._slot.carriage
        if carriage is None:
            return  # settled by started(), after a crash between the claim and this message
        reports = AttemptReports(carriage.claimed.run, self._audience)
        work = carriage.carry(self._engine, reports, self._standing.now())
        self._task = self.ctx.pipe(work, lambda _: Carried(), self._broken)

    @StopCarrying.handler
    def stop(self, message: StopCarrying) -> None:
        if self._slot.carriage is not None and self._slot.carriage.run_id == message.run_id:
            self._slot.carriage.interrupt(Cancelled())

    @Carried.handler
    def carried(self, message: Carried) -> None:
        self._settle()

    def _broken(self, error: Exception) -> Carried:
        assert self._slot.carriage is not None
        run = self._slot.carriage.claimed.run
        log.error("engine_broke", run=run.id, attempt=run.attempt, exc_info=error)
        self._slot.carriage.result = Failed(RunError("internal", f"the engine broke: {error}", retryable=True))
        return Carried()

    def _settle(self) -> None:
        """Put the outcome into the outbox and free the slot, in one go without a cancel point between."""
        if self._slot.carriage is None:
            return
        self._standing.outbox.put(self._slot.carriage.outcome())
        self._slot.carriage = None
        self.ctx.ref(COMPLETER).offer(Flush())
        if False in self._standing.full and self.ctx.ref(DISPATCHER).offer(Wake(calls=False)):
            self._standing.full.discard(False)
