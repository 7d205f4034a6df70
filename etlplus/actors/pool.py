"""
The keeper of the store's connections: looks whether the store answers, and makes an outage a state that all can see.

The store's body owns the connections themselves (a writer thread, or a pool with lanes for heartbeat, claim and
acknowledgement); this actor never waits for the store in a handler, so its answer is always at hand.
"""

from __future__ import annotations

import structlog
import trio

from etlplus.actors.messages import GetPool, PoolKeeping, PoolView, Probe, Probed
from etlplus.errors import StoreUnavailable
from etlplus.runtime import Actor
from etlplus.store.contract import AdminStore

log = structlog.get_logger()


class StoreWatch:
    """What outlives a crash of the keeper, and can be read without asking him: how the store was when last looked at."""

    def __init__(self) -> None:
        self.view = PoolView(up=True, latency_s=0.0)


class PoolKeeper(Actor[PoolKeeping]):
    """See the module. Ready once the store has answered for the first time."""

    def __init__(self, store: AdminStore, watch: StoreWatch, *, every_s: float, timeout_s: float) -> None:
        self._store = store
        self._watch = watch
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
            latency_s=message.latency_s,
            error=message.error,
            outages=before.outages + (before.up and not up),
            horizon=message.horizon if up else before.horizon,
        )
        self.ctx.after(self._every_s, Probe(), key="probe")

    async def _probe(self) -> Probed:
        began = trio.current_time()
        with trio.move_on_after(self._timeout_s):
            try:
                await self._store.ping()
                latency_s = trio.current_time() - began
                return Probed(latency_s, horizon=await self._store.horizon())
            except StoreUnavailable as error:
                return Probed(trio.current_time() - began, str(error))
        return Probed(self._timeout_s, f"no answer within {self._timeout_s} s")
