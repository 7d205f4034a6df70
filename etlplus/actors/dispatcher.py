"""
The dispatcher: claims runs when slots are free, and hands each to the runner that owns the slot.

Woken by whoever enqueues, makes the room that it waits for, or renews the lease, on this node or, by a bell, on another, and by
the clock when runs wait for the token of a rate; a slow poll catches what nobody announced. A slot that became free under a
limit wakes it only for runs that may wait for one; most of the slots that calls of functions wait for, the completer hands over
without it. Runs that call functions of the program have room of their own beside the
slots, and claims of their own. Of each kind, one claim is under way at a time, for no more runs than there is room for.

A claim whose answer was lost (the store failed after it took effect, or this actor crashed) leaves runs that the store
counts as ours and nobody carries. After any such doubt, the next claim that is answered is followed by a look at what the
store says we hold; what lies in no slot and in no outbox is given back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from etlplus.actors.bellman import Earshot
from etlplus.actors.carriage import Carriage
from etlplus.actors.messages import (
    COMPLETER,
    CREW,
    Board,
    CancelHere,
    Carry,
    ClaimAnswered,
    ClaimFailed,
    Dispatching,
    Flush,
    Freed,
    LeaveBoard,
    LookAfterYourself,
    StopCarrying,
    Wake,
    runner_name,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.jobs.model import Run, RunState
from etlplus.jobs.outcome import Returned
from etlplus.runtime import Actor, Exit
from etlplus.store.contract import Claimed, Outcome, RunFilter, Store, Taken

log = structlog.get_logger()

RETRY_AFTER_S = 0.5
TOKEN_S = 0.001
"""Tokens that come faster than this are not waited for one by one."""
PAGE = 1000
"""Of runs in hand, when all of them are looked at."""
RUNNING = RunFilter(states=(RunState.RUNNING,))
BATCH_MAX = 500
KINDS = frozenset({False, True})
"""Of runs, by whether they call functions."""


class Dispatcher(Actor[Dispatching]):
    """See the module.

    Args:
        poll_s: How often to look by itself while bells arrive, in seconds.
        poll_silent_s: The same while they do not.
        margin_s: A lease that is over so soon lets nothing be claimed.
    """

    def __init__(
        self,
        store: Store,
        standing: Standing,
        newsroom: Newsroom,
        earshot: Earshot,
        *,
        poll_s: float,
        poll_silent_s: float,
        margin_s: float,
    ) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._earshot = earshot
        self._poll_s = poll_s
        self._poll_silent_s = poll_silent_s
        self._margin_s = margin_s
        self._claiming = standing.claiming

    async def started(self) -> None:
        self._claiming.begin_anew()
        self._look_by_itself()
        self._claim(KINDS)

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        self._claiming.begin_anew()  # what ends from now on hands nothing over

    @LookAfterYourself.handler
    def look_after_yourself(self, message: LookAfterYourself) -> None:
        self._look_by_itself()
        self._claim(KINDS)

    @Wake.handler
    def wake(self, message: Wake) -> None:
        self._claim(KINDS if message.calls is None else {message.calls})

    @Freed.handler
    def freed(self, message: Freed) -> None:
        self._claim(self._claiming.held_up | self._claiming.under_way.keys())

    @ClaimAnswered.handler
    def answered(self, message: ClaimAnswered) -> None:
        self._claiming.under_way.pop(message.calls, None)
        carriages = [Carriage(each, message.lease) for each in message.claimed]
        if message.calls:
            self._standing.boarding.extend(carriages)
            self.ctx.ref(CREW).offer(Board())
        else:
            for slot, carriage in zip(self._standing.free_slots(), carriages, strict=False):
                slot.carriage = carriage
                self.ctx.ref(runner_name(slot.number)).tell(Carry())
        if message.claimed:
            self._newsroom.tell(*(each.run for each in message.claimed))
        if message.held_up:
            self._claiming.held_up.add(message.calls)
        else:
            self._claiming.held_up.discard(message.calls)
        if message.more or self._claiming.doubt:  # another one was under way, so nobody looked after what may be lost
            self._claiming.asked.add(message.calls)
        if message.next_at is not None:
            wait_s = (message.next_at - self._standing.now()).total_seconds()
            self.ctx.after(max(wait_s, TOKEN_S), Wake(message.calls), key=f"token {message.calls}")
        self._claim(self._claiming.asked - self._claiming.under_way.keys())

    @ClaimFailed.handler
    def failed(self, message: ClaimFailed) -> None:
        self._claiming.under_way.pop(message.calls, None)
        self._claiming.doubt = True
        log.warning("claim_failed", worker=self._standing.worker.id, error=message.error)
        self.ctx.after(RETRY_AFTER_S, Wake(), key="retry")

    @CancelHere.handler
    def cancel(self, message: CancelHere) -> None:
        for slot in self._standing.slots:
            if slot.carriage is not None and slot.carriage.run_id in message.run_ids:
                self.ctx.ref(runner_name(slot.number)).tell(StopCarrying(slot.carriage.run_id))
        for run_id in {run_id for run_id, _ in self._standing.aboard} & set(message.run_ids):
            self.ctx.ref(CREW).tell(LeaveBoard(run_id))

    def _look_by_itself(self) -> None:
        every_s = self._poll_s if self._earshot.arrive else self._poll_silent_s
        self.ctx.every(every_s, Wake(), key="poll", jitter=0.2)

    def _claim(self, kinds: Iterable[bool]) -> None:
        for calls in sorted(kinds):
            if (free := self._free(calls)) > 0:
                self._claim_into(min(free, BATCH_MAX), calls)
            else:
                self._standing.full.add(calls)

    def _free(self, calls: bool) -> int:
        """For how many runs there is room; of the room for those that wait for slots, half is left for what is handed over."""
        if not calls:
            return len(self._standing.free_slots())
        free = self._standing.calls_free - self._claiming.handing_over
        return (free + 1) // 2 if True in self._claiming.held_up else free

    def _claim_into(self, free: int, calls: bool) -> None:
        lease_left_s = self._standing.lease.deadline - self._standing.boottime_s()
        if lease_left_s < self._margin_s:
            self.ctx.after(RETRY_AFTER_S, Wake(calls), key=f"lease {calls}")
            return
        if self._claiming.must_wait(calls):
            self._claiming.asked.add(calls)  # what woke us may have come too late for the claim under way
            return
        self._claiming.under_way[calls] = free
        self._claiming.asked.discard(calls)
        lease = self._standing.lease
        self.ctx.pipe(
            self._ask_store(self._standing.worker.id, free, calls),
            lambda taken: ClaimAnswered(
                tuple(taken.claimed), taken.next_at, lease, calls, taken.held_up, _may_be_more(taken, free)
            ),
            lambda error: ClaimFailed(str(error), calls),
        )

    async def _ask_store(self, worker: str, free: int, calls: bool) -> Taken:
        taken = await self._store.claim(worker, limit=free, now=self._standing.now(), calls=calls)
        if self._claiming.doubt and self._claiming.is_alone(calls):
            self._give_back(await self._held(worker), worker, taken.claimed)
            self._claiming.doubt = False
        return taken

    async def _held(self, worker: str) -> list[Run]:
        """What the store counts as this worker's; read after a claim, so that no earlier claim can still take effect."""
        held: list[Run] = []
        page = await self._store.runs(RUNNING, limit=PAGE)
        while page:
            held += [run for run in page if run.worker_id == worker]
            page = await self._store.runs(RUNNING, limit=PAGE, after=page[-1].id) if len(page) == PAGE else []
        return held

    def _give_back(self, held: list[Run], worker: str, claimed: Sequence[Claimed]) -> None:
        """Return what is held and neither carried, nor ended, nor claimed just now."""
        known = {(each.run.id, each.run.attempt) for each in claimed}
        known |= {carriage.fence for carriage in self._standing.carried()}
        known |= {(outcome.run_id, outcome.attempt) for outcome in self._standing.outbox}
        result = Returned("the claim's answer was lost")
        lost = [
            Outcome(run_id=run.id, attempt=run.attempt, worker_id=worker, result=result)
            for run in held
            if (run.id, run.attempt) not in known
        ]
        if lost:
            self._standing.outbox.put(*lost)
            self.ctx.ref(COMPLETER).offer(Flush())


def _may_be_more(taken: Taken, wanted: int) -> bool:
    """Whether another claim may find something: this one was filled, or looked at some of the slots or keys only."""
    return taken.more or len(taken.claimed) >= wanted or any(each.run.limit_key for each in taken.claimed)
