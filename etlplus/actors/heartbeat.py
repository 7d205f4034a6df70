"""
The heartbeat: renews this worker's lease, sets its clock right, and learns what to cancel.

One beat per worker, however many attempts it carries. The deadline that a beat earns is counted from before the store was
asked for the time that the beat goes by, so this side always believes in less time than others do. A beat that is not
answered moves nothing: the attempts end themselves at the deadline, before anybody else may take them over.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
import trio
from msgspec.structs import replace

from etlplus.actors.messages import DISPATCHER, Beaten, BeatFailed, Beating, BeatNow, CancelHere, Wake
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.runtime import Actor, Task
from etlplus.store.bells import Bell
from etlplus.store.contract import Store

log = structlog.get_logger()


class Heartbeat(Actor[Beating]):
    """See the module. Ready once the worker has joined, or the store was found to be out: then it joins with the first beat
    that is answered.
    """

    def __init__(self, store: Store, standing: Standing, newsroom: Newsroom, *, beat_s: float, expiry_s: float) -> None:
        self._store = store
        self._standing = standing
        self._newsroom = newsroom
        self._attends = False
        self._beat_s = beat_s
        self._expiry_s = expiry_s
        self._under_way: Task | None = None
        self._again = False

    async def started(self) -> None:
        self.ctx.every(self._beat_s, BeatNow(), key="beat")
        first = self._beat()
        with trio.move_on_after(self._beat_s):
            await first.wait_ended()

    @BeatNow.handler
    def beat(self, message: BeatNow) -> None:
        if self._under_way is None:
            self._beat()
        else:
            self._again = True  # what was asked of us meanwhile may not be in the answer

    @Beaten.handler
    def beaten(self, message: Beaten) -> None:
        self._under_way = None
        if message.answer.alive:
            self._newsroom.heed(audience=message.answer.audience)
            if message.attends and not self._attends:
                self._store.pull(Bell.HEED)  # their next beat tells them that this node attends
            self._attends = message.attends
            self._standing.lease.move(message.asked_at_s + self._expiry_s)
        else:
            self._attends = False
            self.ctx.ref(DISPATCHER).offer(Wake())
        if message.answer.cancel:
            self.ctx.ref(DISPATCHER).offer(CancelHere(message.answer.cancel))
        if self._again:
            self._beat()

    @BeatFailed.handler
    def failed(self, message: BeatFailed) -> None:
        self._under_way = None
        log.warning("heartbeat_unanswered", worker=self._standing.worker.id, error=message.error)

    def _beat(self) -> Task:
        self._again = False
        beat = self.ctx.pipe(self._ask_store(), lambda beaten: beaten, lambda error: BeatFailed(str(error)))
        self._under_way = beat
        return beat

    async def _ask_store(self) -> Beaten:
        asked_at_s = self._standing.boottime_s()
        await self._standing.clock.look(self._store)
        if not self._standing.lease.was_held:
            await self._join(asked_at_s)
        now, attends = self._standing.now(), self._newsroom.attends
        answer = await self._store.beat(
            self._standing.worker.id, now=now, expires_at=self._expires_at(), attends=attends
        )
        if not answer.alive:
            log.error("lease_lost", worker=self._standing.worker.id)
            self._standing.renew()
            await self._join(asked_at_s)
        return Beaten(asked_at_s, answer, attends)

    async def _join(self, asked_at_s: float) -> None:
        now = self._standing.now()
        await self._store.join(replace(self._standing.worker, beat_at=now, expires_at=self._expires_at()), now=now)
        self._standing.lease.move(asked_at_s + self._expiry_s)
        # Whoever was alone learns with its next beat that it is not, and rings from then on.
        self._store.pull(Bell.HEED)

    def _expires_at(self) -> datetime:
        return self._standing.clock.latest() + timedelta(seconds=self._expiry_s)
