"""
The service itself, over HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from etlplus.actors.news import News
from etlplus.actors.watchers import WORKERS
from etlplus.client.following import follow
from etlplus.client.wire import Wire
from etlplus.service.views import HealthView, StatusView


class ClientSystem:
    """See ``contract.System``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def health(self) -> HealthView:
        return await self._wire.ask(HealthView, "GET", "/api/health")

    async def status(self) -> StatusView:
        return await self._wire.ask(StatusView, "GET", "/api/monitor/status")

    def follow(self) -> AsyncGenerator[News]:
        """The workers that live, as a snapshot, and then who comes and goes; see ``ClientRuns.follow``."""
        return follow(self._wire, WORKERS)
