"""
The system facet: whether the service works, what it is doing, and its metrics.
"""

from __future__ import annotations

import msgspec
import prometheus_client
import trio

from etlplus.actors.messages import GetPool
from etlplus.service.facet import Facet
from etlplus.service.views import CheckView, HealthView, StatusView

HEALTH_WITHIN_S = 1.0
LEASE_MARGIN_S = 5.0


class SystemFacet(Facet):
    """See ``contract.System``."""

    async def health(self) -> HealthView:
        checks = [await self._store_check(), self._lease_check()]
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
        standing, counts = self.house.standing, await self.house.store.counts()
        return StatusView(
            node=self.house.node,
            worker_id=standing.worker.id,
            version=self.house.version,
            uptime_s=self._uptime_s(),
            slots=len(standing.slots),
            slots_busy=standing.busy,
            runs=counts.runs,
            watchers=len(self.house.newsroom.watchers),
            stale_results=counts.stale_results,
            engine=msgspec.to_builtins(self.house.workshop.statistics()),
            tree=msgspec.to_builtins(self.house.tree()),
        )

    def metrics(self) -> bytes:
        self.who.must("metrics:read")
        return prometheus_client.generate_latest(self.house.registry)

    async def _store_check(self) -> CheckView:
        with trio.move_on_after(HEALTH_WITHIN_S):
            pool = await self.house.pool.ask(GetPool(), within=HEALTH_WITHIN_S)
            return CheckView("store", "pass" if pool.up else "fail", pool.error)
        return CheckView("store", "fail", "its keeper does not answer")

    def _lease_check(self) -> CheckView:
        left_s = self.house.standing.lease.deadline - self.house.standing.boottime_s()
        if left_s > LEASE_MARGIN_S:
            return CheckView("lease", "pass")
        return CheckView("lease", "warn" if left_s > 0 else "fail", "the heartbeat is late")

    def _uptime_s(self) -> float:
        return (self.house.now() - self.house.started_at).total_seconds()
