"""
The completer: settles ended attempts in the store, in batches, and announces what became of their runs.

Outcomes lie in the outbox until the store has answered; neither a crash of this actor nor an outage of the store loses one.
At once when idle; while the store is answering one batch, the next one collects.

While calls of functions wait for slots under a limit, the slots of those that end are handed over to the next in line, by the
same call to the store; the dispatcher has nothing to do then.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import structlog

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
from etlplus.errors import Unavailable
from etlplus.jobs.model import RunState
from etlplus.runtime import Actor, Exit, Task
from etlplus.store.contract import LeaseStore, Outcome, Settled

log = structlog.get_logger()

BATCH_MAX = 500
RETRY_AFTER_S = 0.5


class Completer(Actor[Completing]):
    """See the module."""

    def __init__(self, store: LeaseStore, standing: Standing, newsroom: Newsroom) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._claiming = standing.claiming
        self._under_way: Task | None = None

    async def started(self) -> None:
        self._flush()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Settle what is left; the runners have stopped before. An answer that is under way is waited for, not asked again."""
        if self._under_way is not None:
            await self._under_way.wait_ended()
        try:
            while self._standing.outbox:
                await self._settle()
        except Unavailable as error:
            log.error("outcomes_not_settled", left=len(self._standing.outbox), error=str(error))

    @Flush.handler
    def flush(self, message: Flush) -> None:
        self._flush()

    @Acknowledged.handler
    def acknowledged(self, message: Acknowledged) -> None:
        self._under_way = None
        self._flush()

    @AcknowledgeFailed.handler
    def failed(self, message: AcknowledgeFailed) -> None:
        self._under_way = None
        log.warning("outcomes_wait", waiting=len(self._standing.outbox), error=message.error)
        self.ctx.after(RETRY_AFTER_S, Flush(), key="retry")

    def _flush(self) -> None:
        if self._under_way is None and self._standing.outbox:
            self._under_way = self.ctx.pipe(
                self._settle(), lambda _: Acknowledged(), lambda error: AcknowledgeFailed(str(error))
            )

    async def _settle(self) -> None:
        """Have the store settle the first outcomes, and take them out in the moment of its answer: it answers in order."""
        batch = list(islice(self._standing.outbox, BATCH_MAX))
        room = min(self._standing.calls_free - self._claiming.under_way.get(True, 0), BATCH_MAX)
        if self._claiming.may_hand_over and room > 0 and not self._standing.lease.is_over:
            settled = await self._hand_over(batch, room)
        else:
            settled = await self._store.acknowledge(batch, now=self._standing.now())
        for each in settled:
            self._standing.outbox.popleft()
            if not each.applied:
                self._standing.stale_results += 1
                log.warning("stale_result", run=each.run_id, attempt=each.attempt)
        if runs := [run for each in settled for run in (each.run, each.released) if run is not None]:
            self._newsroom.tell(*runs)
        if any(each.released or (each.run and each.run.state is RunState.QUEUED) for each in settled):
            self.ctx.ref(DISPATCHER).offer(Wake())
        elif any(each.freed for each in settled):
            self.ctx.ref(DISPATCHER).offer(Freed())

    async def _hand_over(self, batch: Sequence[Outcome], room: int) -> list[Settled]:
        """Settle, and board what gets the slots in the moment of the answer; after a lost answer, the dispatcher looks for it."""
        worker, lease = self._standing.worker, self._standing.lease
        self._claiming.handing_over = room
        try:
            handed = await self._store.hand_over(
                batch, worker_id=worker.id, limit=room, now=self._standing.now(), calls=True
            )
        except BaseException:
            self._claiming.doubt = True
            raise
        finally:
            self._claiming.handing_over = 0
            if self._claiming.doubt:  # it may have waited for us
                self.ctx.ref(DISPATCHER).offer(Wake())
        if handed.taken.claimed:
            self._standing.boarding.extend(Carriage(each, lease) for each in handed.taken.claimed)
            self.ctx.ref(CREW).offer(Board())
            self._newsroom.tell(*(each.run for each in handed.taken.claimed))
        if handed.taken.next_at is not None:
            self.ctx.ref(DISPATCHER).offer(Freed())
        return handed.settled
