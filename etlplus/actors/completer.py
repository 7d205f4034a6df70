"""
The completer: settles ended attempts in the store, in batches, and announces what became of their runs.

Outcomes lie in the outbox until the store has answered; neither a crash of this actor nor an outage of the store loses one.
At once when idle; while the store is answering one batch, the next one collects.
"""

from __future__ import annotations

from itertools import islice

import structlog

from etlplus.actors.messages import (
    DISPATCHER,
    Acknowledged,
    AcknowledgeFailed,
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
from etlplus.store.contract import LeaseStore

log = structlog.get_logger()

BATCH_MAX = 500
RETRY_AFTER_S = 0.5


class Completer(Actor[Completing]):
    """See the module."""

    def __init__(self, store: LeaseStore, standing: Standing, newsroom: Newsroom) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
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
