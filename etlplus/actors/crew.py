"""
The crew: carries the attempts that call functions of the program, many at once, each a task beside the others.

The attempts lie with the worker's standing, and outlive a crash of this actor: whoever comes after it settles what it left.
Functions know nothing of leases, so the crew watches the lease for all of them.
"""

from __future__ import annotations

import structlog
import trio

from etlplus.actors.carriage import Carriage, Executing
from etlplus.actors.messages import (
    COMPLETER,
    DISPATCHER,
    SCRIBE,
    Board,
    Crewing,
    Flush,
    LeaveBoard,
    Sank,
    Wake,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.reports import AttemptReports, Audience
from etlplus.actors.standing import Standing
from etlplus.jobs.outcome import Cancelled, Failed, Result, Returned, RunError
from etlplus.runtime import Actor, Exit
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()

LOOK_S = 1.0
DEAF_AFTER_S = 10.0
"""A call that goes on for so long after it was told to end is told of. Nothing can end it but the function itself."""
LEASE_OVER = Returned("the lease ran out")
STOPPING = Returned("the worker is stopping")


class Crew(Actor[Crewing]):
    """See the module.

    Args:
        drain_s: How long attempts in hand may go on once the worker stops, in seconds.
    """

    def __init__(
        self, engine: Executing, store: LeaseStore, standing: Standing, newsroom: Newsroom, *, drain_s: float
    ) -> None:
        self._engine = engine
        self._standing = standing
        self._store = store
        self._newsroom = newsroom
        self._drain_s = drain_s
        self._nursery: trio.Nursery | None = None
        self._empty = trio.Event()

    async def started(self) -> None:
        self._audience = Audience(self._store, self._standing, self._newsroom, self.ctx.ref(SCRIBE))
        for carriage in list(self._standing.aboard.values()):
            self._settle(carriage)
        self.ctx.pipe(self._serve(), lambda _: Sank("it ended"), lambda error: Sank(repr(error)))
        while self._nursery is None:
            await trio.lowlevel.checkpoint()
        self._board()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Let the attempts in hand finish within the drain budget, else give their runs back."""
        with trio.move_on_after(self._drain_s):
            await self._standing.first_of(self._wait_empty, self._standing.hurry.wait)
        self._interrupt(STOPPING)
        await self._wait_empty()

    @Board.handler
    def board(self, message: Board) -> None:
        self._board()

    @LeaveBoard.handler
    def leave(self, message: LeaveBoard) -> None:
        for carriage in self._standing.aboard.values():
            if carriage.run_id == message.run_id:
                carriage.interrupt(Cancelled())

    @Sank.handler
    def sank(self, message: Sank) -> None:
        raise RuntimeError(f"the crew's nursery is gone: {message.error}")

    def _board(self) -> None:
        """Begin what was claimed."""
        assert self._nursery is not None
        while self._standing.boarding:
            carriage = self._standing.boarding.popleft()
            self._standing.aboard[carriage.fence] = carriage
            self._nursery.start_soon(self._carry, carriage)

    async def _serve(self) -> None:
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._watch_lease)
            self._nursery.start_soon(self._watch_deaf)

    async def _carry(self, carriage: Carriage) -> None:
        if carriage.lease.is_over:  # it was lost while the claim was under way, and others may have the run
            carriage.result = LEASE_OVER
            self._settle(carriage)
            return
        try:
            await carriage.carry(self._engine, self._reports(carriage), self._standing.now())
        except Exception as error:
            log.error("engine_broke", run=carriage.run_id, exc_info=error)
            carriage.result = Failed(RunError("internal", f"the engine broke: {error}", retryable=True))
        self._settle(carriage)

    def _settle(self, carriage: Carriage) -> None:
        """Put the outcome into the outbox and free the place, in one go without a cancel point between."""
        first = not self._standing.outbox.waiting  # else the completer looks into it anyway
        self._standing.outbox.put(carriage.outcome())
        del self._standing.aboard[carriage.fence]
        self._standing.deaf.discard(carriage.fence)
        if not self._standing.aboard:
            self._empty.set()
        if first:
            self.ctx.ref(COMPLETER).offer(Flush())
        if True in self._standing.full and self.ctx.ref(DISPATCHER).offer(Wake(calls=True)):
            self._standing.full.discard(True)

    def _interrupt(self, why: Result) -> None:
        for carriage in list(self._standing.aboard.values()):
            carriage.interrupt(why)

    async def _wait_empty(self) -> None:
        while self._standing.aboard:
            self._empty = trio.Event()
            await self._empty.wait()

    def _reports(self, carriage: Carriage) -> AttemptReports:
        return AttemptReports(carriage.claimed.run, self._audience)

    async def _watch_deaf(self) -> None:
        """Find calls that shield themselves from their cancellation, and tell of each once, to whoever can mend it."""
        while True:
            await trio.sleep(LOOK_S)
            for carriage in self._standing.aboard.values():
                if carriage.unheeded_s >= DEAF_AFTER_S and carriage.fence not in self._standing.deaf:
                    self._standing.deaf.add(carriage.fence)
                    self._tell_of(carriage)

    def _tell_of(self, carriage: Carriage) -> None:
        run, stack = carriage.claimed.run, carriage.whereabouts()
        log.error("cancellation_ignored", run=run.id, attempt=run.attempt, job=run.job_name, stack=stack)
        text = f"it was told to end {carriage.unheeded_s:.0f} s ago, and goes on; it stands at\n{stack}"
        self._reports(carriage).log(text, "error")

    async def _watch_lease(self) -> None:
        """When a lease is over, give back what is carried under it; others may have it already."""
        while True:
            lease = self._standing.lease
            await lease.wait_over()
            for carriage in list(self._standing.aboard.values()):
                if carriage.lease is lease:
                    carriage.interrupt(LEASE_OVER)
            with trio.move_on_after(LOOK_S):
                await self._standing.lease.wait_moved()
