"""
Routes of the system facet; those that monitoring knows everywhere are version-neutral.
"""

from __future__ import annotations

from etlplus.service.contract import Contract
from etlplus.service.views import HealthView, StatusView
from etlplus.web.routes.table import Request, Route


async def _metrics(service: Contract, request: Request) -> bytes:
    return await service.system.metrics()


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/health", "system.health", lambda s, r: s.system.health(), HealthView,
          "Whether the service works", signed_in=False),
    Route("GET", "/api/monitor/status", "system.status", lambda s, r: s.system.status(), StatusView,
          "What runs, waits and works", "system:read"),
    Route("GET", "/metrics", "system.metrics", _metrics, bytes, "All metrics in the Prometheus text format", "metrics:read"),
)  # fmt: skip
