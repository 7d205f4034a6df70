"""
The dispatcher: claims runs when slots are free, and hands each to the runner that owns the slot.

Woken by whoever enqueues, frees a slot or renews the lease; a slow poll catches what other nodes enqueue and what nobody
announced. One claim is under way at a time, for exactly as many runs as there are free slots.

A claim whose answer was lost (the store failed after it took effect, or this actor crashed) leaves runs that the store
counts as ours and nobody carries. After any such doubt, the next claim that is answered is followed by a look at what the
store says we hold; what lies in no slot and in no outbox is given back.
"""

from __future__ import annotations

import structlog

from etlplus.actors.messages import (
    BROADCASTER,
    COMPLETER,
    Announce,
    CancelHere,
    Carry,
    ClaimAnswered,
    ClaimFailed,
    Dispatching,
    Flush,
    StopCarrying,
    Wake,
    runner_name,
)
from etlplus.actors.standing import Standing
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.outcome import Returned
from etlplus.runtime import Actor
from etlplus.store.contract import Claimed, Outcome, RunFilter, Store

log = structlog.get_logger()

RETRY_AFTER_S = 0.5
HELD_MAX = 1000


class Dispatcher(Actor[Dispatching]):
    """See the module."""

    def __init__(self, store: Store, standing: Standing, *, poll_s: float, margin_s: float) -> None:
        self._store = store
        self._standing = standing
        self._poll_s = poll_s
        self._margin_s = margin_s
        self._under_way = False
        self._doubt = True

    async def started(self) -> None:
        self.ctx.every(self._poll_s, Wake(), key="poll", jitter=0.2)
        self._claim()

    @Wake.handler
    def wake(self, message: Wake) -> None:
        self._claim()

    @ClaimAnswered.handler
    def answered(self, message: ClaimAnswered) -> None:
        self._under_way = False
        for slot, claimed in zip(self._standing.free_slots(), message.claimed, strict=False):
            slot.claimed = claimed
            self.ctx.ref(runner_name(slot.number)).tell(Carry())
        if message.claimed:
            self.ctx.ref(BROADCASTER).offer(Announce(tuple(each.run for each in message.claimed)))
            self._claim()

    @ClaimFailed.handler
    def failed(self, message: ClaimFailed) -> None:
        self._under_way, self._doubt = False, True
        log.warning("claim_failed", worker=self._standing.worker.id, error=message.error)
        self.ctx.after(RETRY_AFTER_S, Wake(), key="retry")

    @CancelHere.handler
    def cancel(self, message: CancelHere) -> None:
        for slot in self._standing.slots:
            if slot.claimed is not None and slot.claimed.run.id in message.run_ids:
                self.ctx.ref(runner_name(slot.number)).tell(StopCarrying(slot.claimed.run.id))

    def _claim(self) -> None:
        free = len(self._standing.free_slots())
        lease_left_s = self._standing.lease.deadline - self._standing.boottime_s()
        if self._under_way or not free or lease_left_s < self._margin_s:
            return
        self._under_way = True
        self.ctx.pipe(self._ask_store(free), ClaimAnswered, lambda error: ClaimFailed(str(error)))

    async def _ask_store(self, free: int) -> tuple[Claimed, ...]:
        worker = self._standing.worker.id
        claimed = tuple(await self._store.claim(worker, limit=free, now=self._standing.now()))
        if self._doubt:
            self._give_back(await self._held(worker), worker, claimed)
            self._doubt = False
        return claimed

    async def _held(self, worker: str) -> list[Run]:
        """What the store counts as this worker's; read after a claim, so that no earlier claim can still take effect."""
        running = await self._store.runs(RunFilter(states=(RunState.RUNNING,)), limit=HELD_MAX)
        return [run for run in running if run.worker_id == worker]

    def _give_back(self, held: list[Run], worker: str, claimed: tuple[Claimed, ...]) -> None:
        """Return what is held and neither carried, nor ended, nor claimed just now."""
        known = {each.run.id for each in claimed}
        known |= {slot.claimed.run.id for slot in self._standing.slots if slot.claimed is not None}
        known |= {outcome.run_id for outcome in self._standing.outbox}
        result = Returned("the claim's answer was lost")
        lost = [
            Outcome(run_id=run.id, attempt=run.attempt, worker_id=worker, result=result)
            for run in held
            if run.id not in known
        ]
        if lost:
            self._standing.outbox.extend(lost)
            self.ctx.ref(COMPLETER).offer(Flush())
