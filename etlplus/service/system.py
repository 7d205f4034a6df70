"""
The system facet: whether the service works, what it is doing, and its metrics.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
import prometheus_client
import trio

from etlplus.actors.messages import GetPool, PoolView
from etlplus.errors import StoreUnavailable
from etlplus.runtime import ActorRestarted, ActorStopped, AskTimeout
from etlplus.service.facet import Facet
from etlplus.service.views import CheckView, HealthView, HorizonView, LaneView, StatusView, StoreView
from etlplus.store.contract import Horizon
from etlplus.telemetry import Metric, catalog, exported

HEALTH_WITHIN_S = 1.0
COUNT_WITHIN_S = 2.0
LEASE_MARGIN_S = 5.0
SNAPSHOT_OLD_S = 300.0
"""A snapshot older than this lets claims grow slow: a session that long is rarely meant."""


class SystemFacet(Facet):
    """See ``contract.System``."""

    async def health(self) -> HealthView:
        pool = await self._pool()
        checks = [_store_check(pool), self._lease_check(), *([_horizon_check(pool.horizon)] if pool else [])]
        checks.append(self._wakeups_check())
        rank = {"pass": 0, "warn": 1, "fail": 2}
        return HealthView(
            status=max((check.status for check in checks), key=rank.__getitem__),
            checks=checks,
            version=self.house.version,
            uptime_s=self._uptime_s(),
            monitoring_port=self.house.ports.monitoring,
        )

    async def status(self) -> StatusView:
        self.who.must("system:read")
        standing, pool = self.house.standing, await self._pool()
        if pool is None:
            raise StoreUnavailable("the keeper of the store's connections does not answer")
        counts = await self.house.store.counts() if pool.up else None
        return StatusView(
            node=self.house.node,
            worker_id=standing.worker.id,
            version=self.house.version,
            uptime_s=self._uptime_s(),
            slots=len(standing.slots),
            slots_busy=standing.busy,
            runs=counts.runs if counts else None,
            watchers=len(self.house.newsroom.watchers),
            dead_letters=counts.letters if counts else None,
            stale_results=counts.stale_results if counts else None,
            store=self._store_view(pool),
            horizon=msgspec.convert(pool.horizon, HorizonView, from_attributes=True),
            engine=msgspec.to_builtins(self.house.workshop.statistics()),
            tree=msgspec.to_builtins(self.house.tree()),
        )

    async def metrics(self) -> bytes:
        self.who.must("metrics:read")
        return prometheus_client.generate_latest(self.house.registry) + exported(await self._counted())

    async def _counted(self) -> dict[Metric, float | dict[str, float]]:
        """What the store counts, of all nodes together; nothing if it does not answer soon."""
        with trio.move_on_after(COUNT_WITHIN_S):
            try:
                counts, queues = await self.house.store.counts(), await self.house.store.queues()
            except StoreUnavailable:
                return {}
            return {
                catalog.RUNS: {state: float(amount) for state, amount in counts.runs.items()},
                catalog.DEAD_LETTERS: counts.letters,
                catalog.QUEUE_WAITING: {each.queue.name: float(each.queued) for each in queues},
                catalog.QUEUE_OLDEST: {each.queue.name: self._waited_s(each.oldest_at) for each in queues},
            }
        return {}

    def _waited_s(self, since: datetime | None) -> float:
        return max((self.house.now() - since).total_seconds(), 0.0) if since is not None else 0.0

    async def _pool(self) -> PoolView | None:
        """How the store was when its keeper last looked; None if he does not answer."""
        try:
            return await self.house.pool.ask(GetPool(), within=HEALTH_WITHIN_S)
        except (AskTimeout, ActorStopped, ActorRestarted):
            return None

    def _store_view(self, pool: PoolView) -> StoreView:
        lanes = self.house.store.lanes()
        return StoreView(
            state="available" if pool.up else "outage",
            since=pool.since,
            reason=pool.error,
            latency_s=pool.latency_s,
            outages=pool.outages,
            lanes=msgspec.convert(lanes, dict[str, LaneView], from_attributes=True),
        )

    def _lease_check(self) -> CheckView:
        left_s = self.house.standing.lease.deadline - self.house.standing.boottime_s()
        if left_s > LEASE_MARGIN_S:
            return CheckView("lease", "pass")
        return CheckView("lease", "warn" if left_s > 0 else "fail", "the heartbeat is late")

    def _wakeups_check(self) -> CheckView:
        if self.house.earshot.arrive is False:
            return CheckView("wakeups", "warn", "silent: what other nodes do is found by looking, a little later")
        return CheckView("wakeups", "pass", "ok" if self.house.earshot.arrive else "the first test is under way")

    def _uptime_s(self) -> float:
        return (self.house.now() - self.house.started_at).total_seconds()


def _store_check(pool: PoolView | None) -> CheckView:
    if pool is None:
        return CheckView("store", "fail", "its keeper does not answer")
    if pool.up:
        return CheckView("store", "pass")
    return CheckView("store", "fail", f"outage since {pool.since:%Y-%m-%d %H:%M:%SZ}: {pool.error}")


def _horizon_check(horizon: Horizon) -> CheckView:
    """Anybody may ask for health, so it does not say who holds the snapshot: the status and the metrics do."""
    facts = f"the oldest snapshot is {horizon.oldest_s:.0f} s old, {horizon.dead_ratio:.0%} of the rows are dead"
    return CheckView("horizon", "warn" if horizon.oldest_s > SNAPSHOT_OLD_S else "pass", facts)
