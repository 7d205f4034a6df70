"""
Schedules, over HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime

from etlplus.actors.news import News
from etlplus.actors.watchers import SCHEDULES
from etlplus.client.following import follow
from etlplus.client.wire import Wire, path_of
from etlplus.jobs.schedules import Schedule
from etlplus.jobs.ticks import Tick
from etlplus.service.views import JobView, Page, Preview


class ClientSchedules:
    """See ``contract.Schedules``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def preview(self, schedule: Schedule, *, count: int = 10, start: datetime | None = None) -> Preview:
        body = {"schedule": schedule, "count": count} | ({"from": start} if start else {})
        return await self._wire.ask(Preview, "POST", path_of("schedules", "preview"), body=body)

    async def upcoming(self, job: str, *, count: int = 10, start: datetime | None = None) -> Preview:
        query = {"count": count, "from": start.isoformat() if start else None}
        return await self._wire.ask(Preview, "GET", path_of("jobs", job, "schedule", "preview"), query=query)

    async def ticks(self, job: str, *, limit: int = 50, cursor: str | None = None) -> Page[Tick]:
        query = {"limit": limit, "cursor": cursor}
        return await self._wire.ask(Page[Tick], "GET", path_of("jobs", job, "schedule", "ticks"), query=query)

    def follow(self) -> AsyncGenerator[News]:
        """How schedules stand, as a snapshot, and then what is decided and edited; see ``ClientRuns.follow``."""
        return follow(self._wire, SCHEDULES)

    async def pause(self, job: str) -> JobView:
        return await self._wire.act(JobView, path_of("jobs", job, "schedule", "pause"))

    async def resume(self, job: str) -> JobView:
        return await self._wire.act(JobView, path_of("jobs", job, "schedule", "resume"))
