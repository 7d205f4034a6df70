"""
The keeper of the store's connections: looks whether the store answers, makes an outage a state that all can see, and has
the connections that nobody uses looked after.

The store's body owns the connections themselves (a writer thread, or lanes of connections) and grants them without asking
anybody, since a unit of work cannot wait for a mailbox. What concerns all of them is decided here: when they are looked
after, and that after an outage none of the old ones is to be trusted. This actor never waits for the store in a handler, so
its answer is always at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
import trio

from etlplus.actors.messages import GetPool, PoolKeeping, PoolView, Probe, Probed
from etlplus.errors import StoreUnavailable
from etlplus.runtime import Actor
from etlplus.store.contract import AdminStore, Horizon

log = structlog.get_logger()

OUTAGE_LOOKS = 5
"""How many times as often the keeper looks while the store is out: everybody waits for its return."""


class StoreWatch:
    """What outlives a crash of the keeper, and can be read without asking him: how the store was when last looked at."""

    def __init__(self, since: datetime) -> None:
        self.view = PoolView(up=True, since=since)


class PoolKeeper(Actor[PoolKeeping]):
    """See the module. Ready once the store has answered for the first time."""

    def __init__(
        self,
        store: AdminStore,
        watch: StoreWatch,
        now: Callable[[], datetime],
        *,
        every_s: float,
        timeout_s: float,
    ) -> None:
        self._store = store
        self._watch = watch
        self._now = now
        self._every_s = every_s
        self._timeout_s = timeout_s

    async def started(self) -> None:
        self.probed(await self._probe())

    @GetPool.handler
    def get(self, message: GetPool) -> PoolView:
        return self._watch.view

    @Probe.handler
    def probe(self, message: Probe) -> None:
        self.ctx.pipe(self._probe(), lambda probed: probed, lambda error: Probed(0.0, str(error) or repr(error)))

    @Probed.handler
    def probed(self, message: Probed) -> None:
        up, before = not message.error, self._watch.view
        if up != before.up:
            log.warning("store_is_back" if up else "store_outage", error=message.error)
        self._watch.view = PoolView(
            up=up,
            since=before.since if up == before.up else self._now(),
            latency_s=message.latency_s,
            error=message.error,
            outages=before.outages + (before.up and not up),
            horizon=message.horizon or before.horizon,
        )
        self.ctx.after(self._every_s if up else self._every_s / OUTAGE_LOOKS, Probe(), key="probe")

    async def _probe(self) -> Probed:
        began, error = trio.current_time(), f"no answer within {self._timeout_s} s"
        with trio.move_on_after(self._timeout_s):
            try:
                await self._store.ping()
                error = ""
            except StoreUnavailable as refused:
                error = str(refused)
        latency_s = trio.current_time() - began
        if error:
            await self._store.distrust()
            return Probed(latency_s, error)
        return Probed(latency_s, horizon=await self._tend())

    async def _tend(self) -> Horizon | None:
        """The store has just answered, so what cannot be had now is a shortage and no outage."""
        with trio.move_on_after(self._timeout_s):
            try:
                await self._store.tend()
                return await self._store.horizon()
            except StoreUnavailable as error:
                log.warning("connections_not_kept", error=str(error))
        return None
