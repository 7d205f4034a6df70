"""
The completer: settles ended attempts in the store, in batches, and announces what became of their runs.

Outcomes lie in the outbox until the store has answered; neither a crash of this actor nor an outage of the store loses one.
At once when idle; while the store is answering one batch, the next one collects. If a batch cannot be written though the store
is there, its outcomes are told one by one: one that the store refuses becomes a failure that says so, and one that fails
otherwise goes to the back of the line, so that it holds up no other.

While calls of functions wait for slots under a limit, the slots of those that end are handed over to the next in line, by the
same call to the store; the dispatcher has nothing to do then. Two such calls may be under way: while the store answers the
one, the heirs of the other are carried out and told.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import structlog
from msgspec.structs import replace

from etlplus.actors.carriage import Carriage
from etlplus.actors.messages import (
    CREW,
    DISPATCHER,
    Acknowledged,
    AcknowledgeFailed,
    Board,
    Completing,
    Flush,
    Freed,
    Wake,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.errors import Invalid, Unavailable
from etlplus.jobs.outcome import Failed, RunError
from etlplus.runtime import Actor, Exit, Task
from etlplus.store.contract import LeaseStore, Outcome, Settled

log = structlog.get_logger()

BATCH_MAX = 500
HANDING_OVER_MAX = 2
"""Calls that hand slots over, at a time."""
RETRY_AFTER_S = 0.5


class NotWritten(Exception):
    """The store is there, and could not write an outcome."""


class Completer(Actor[Completing]):
    """See the module."""

    def __init__(self, store: LeaseStore, standing: Standing, newsroom: Newsroom) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._claiming = standing.claiming
        self._under_way: list[Task] = []
        self._singly = 0  # so many outcomes are told one by one
        self._failures = 0  # in a row, of those

    async def started(self) -> None:
        self._flush()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Settle what is left; the runners have stopped before. An answer that is under way is waited for, not asked again."""
        for task in self._under_way:
            await task.wait_ended()
        try:
            while self._failures <= len(self._standing.outbox) > 0:
                with suppress(NotWritten):
                    await self._settle()
        except Unavailable as error:
            log.error("outcomes_not_settled", left=len(self._standing.outbox), error=str(error))

    @Flush.handler
    def flush(self, message: Flush) -> None:
        self._flush()

    @Acknowledged.handler
    def acknowledged(self, message: Acknowledged) -> None:
        self._flush()

    @AcknowledgeFailed.handler
    def failed(self, message: AcknowledgeFailed) -> None:
        log.warning("outcomes_wait", waiting=len(self._standing.outbox), error=message.error)
        self.ctx.after(RETRY_AFTER_S, Flush(), key="retry")

    def _flush(self) -> None:
        self._under_way = [task for task in self._under_way if not task.ended]
        at_once = HANDING_OVER_MAX if self._claiming.may_hand_over else 1
        if self._standing.outbox.waiting and len(self._under_way) < at_once:
            self._under_way.append(
                self.ctx.pipe(
                    self._settle_some(), lambda _: Acknowledged(), lambda error: AcknowledgeFailed(str(error))
                )
            )

    async def _settle_some(self) -> None:
        """One batch; while slots are handed over, batch after batch, so that the next is on its way before the heirs of the last
        one begin.
        """
        while self._standing.outbox.waiting:  # the other call may have taken what was there when this one was begun
            await self._settle()
            if not self._claiming.may_hand_over:
                return

    async def _settle(self) -> None:
        """Have the store settle the first outcomes that wait; it answers in order, and in that moment they are out."""
        with self._standing.outbox.telling(1 if self._singly else BATCH_MAX) as batch:
            try:
                settled = await self._told(batch)
            except Unavailable:
                raise
            except Exception as error:
                self._suspect(batch, error)
                raise NotWritten(str(error)) from error
            del batch[: len(settled)]
        self._singly, self._failures = max(self._singly - 1, 0), 0
        self._answered(settled)

    def _suspect(self, batch: list[Outcome], error: Exception) -> None:
        """One of these cannot be written, or the only one."""
        log.error("outcomes_not_written", runs=[each.run_id for each in batch], exc_info=error)
        if len(batch) > 1:
            self._singly = len(self._standing.outbox)
            return
        self._failures += 1
        refused = Failed(RunError("internal", f"the store refused the outcome: {error}"))
        if isinstance(error, Invalid) and not isinstance(batch[0].result, Failed):
            batch[0] = replace(batch[0], result=refused)
        else:
            self._standing.outbox.put(batch.pop())

    async def _told(self, batch: Sequence[Outcome]) -> list[Settled]:
        """Have the store settle these, and hand slots over if there are some to hand over."""
        asked_for = self._claiming.under_way.get(True, 0) + self._claiming.handing_over
        room = min(self._standing.calls_free - asked_for, len(batch))
        if self._claiming.may_hand_over and room > 0 and not self._standing.lease.is_over:
            return await self._hand_over(batch, room)
        return await self._store.acknowledge(batch, now=self._standing.now())

    def _answered(self, settled: Sequence[Settled]) -> None:
        for each in settled:
            if not each.applied:
                self._standing.stale_results += 1
                log.warning("stale_result", run=each.run_id, attempt=each.attempt)
        runs = [run for each in settled for run in (each.run, each.released) if run is not None]
        if runs:
            self._newsroom.tell(*runs)
        if wake := Wake.of(runs):
            self.ctx.ref(DISPATCHER).offer(wake)
        if any(each.freed for each in settled):
            self.ctx.ref(DISPATCHER).offer(Freed())

    async def _hand_over(self, batch: Sequence[Outcome], room: int) -> list[Settled]:
        """Settle, and board what gets the slots in the moment of the answer; after a lost answer, the dispatcher looks for it."""
        worker, lease = self._standing.worker, self._standing.lease
        self._claiming.handing_over += room
        try:
            handed = await self._store.hand_over(
                batch, worker_id=worker.id, limit=room, now=self._standing.now(), calls=True
            )
        except BaseException:
            self._claiming.doubt = True
            raise
        finally:
            self._claiming.handing_over -= room
            if self._claiming.doubt:  # it may have waited for us
                self.ctx.ref(DISPATCHER).offer(Wake())
        if handed.taken.claimed:
            self._standing.boarding.extend(Carriage(each, lease) for each in handed.taken.claimed)
            self.ctx.ref(CREW).offer(Board())
            self._newsroom.tell(*(each.run for each in handed.taken.claimed))
        if handed.taken.next_at is not None:
            self.ctx.ref(DISPATCHER).offer(Freed())
        return handed.settled
