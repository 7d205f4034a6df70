"""
Queues and limits, over HTTP.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from etlplus.actors.news import News
from etlplus.actors.watchers import QUEUES
from etlplus.client.following import follow
from etlplus.client.wire import Wire, path_of
from etlplus.jobs.queues import Limit, LimitDraft, Queue, QueueCounts, QueueDraft
from etlplus.service.views import Page


class ClientQueues:
    """See ``contract.Queues``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def list(self) -> Page[QueueCounts]:
        return await self._wire.ask(Page[QueueCounts], "GET", path_of("queues"))

    async def get(self, queue: str) -> QueueCounts:
        return await self._wire.ask(QueueCounts, "GET", path_of("queues", queue))

    async def save(self, draft: QueueDraft) -> Queue:
        return await self._wire.ask(Queue, "PUT", path_of("queues", draft.name), body={"slots": draft.slots})

    async def delete(self, queue: str) -> None:
        await self._wire.ask(None, "DELETE", path_of("queues", queue))

    async def pause(self, queue: str) -> Queue:
        return await self._wire.act(Queue, path_of("queues", queue, "pause"))

    async def resume(self, queue: str) -> Queue:
        return await self._wire.act(Queue, path_of("queues", queue, "resume"))

    async def drain(self, queue: str) -> Queue:
        return await self._wire.act(Queue, path_of("queues", queue, "drain"))

    def follow(self) -> AsyncGenerator[News]:
        """How queues and limits stand, as a snapshot, and then what changes; see ``ClientRuns.follow``."""
        return follow(self._wire, QUEUES)


class ClientLimits:
    """See ``contract.Limits``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def list(self) -> Page[Limit]:
        return await self._wire.ask(Page[Limit], "GET", path_of("limits"))

    async def save(self, draft: LimitDraft) -> Limit:
        body = {"slots": draft.slots, "rate": draft.rate}
        return await self._wire.ask(Limit, "PUT", path_of("limits", draft.name), body=body)

    async def delete(self, limit: str) -> None:
        await self._wire.ask(None, "DELETE", path_of("limits", limit))
