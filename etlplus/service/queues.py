"""
The queues facet: where runs wait, and whether they come in and go out.
"""

from __future__ import annotations

from etlplus.actors.messages import Wake
from etlplus.actors.newsroom import Stirred
from etlplus.actors.watchers import QUEUES
from etlplus.errors import NotFound
from etlplus.jobs.queues import Queue, QueueCounts, QueueDraft, QueueMode
from etlplus.service.checking import checked
from etlplus.service.facet import Facet
from etlplus.service.views import Page


class QueuesFacet(Facet):
    """See ``contract.Queues``."""

    async def list(self) -> Page[QueueCounts]:
        self.who.must("queues:read")
        return Page(await self.house.store.queues())

    async def get(self, queue: str) -> QueueCounts:
        self.who.must("queues:read")
        for counts in await self.house.store.queues():
            if counts.queue.name == queue:
                return counts
        raise NotFound(f"there is no queue {queue!r}")

    async def save(self, draft: QueueDraft) -> Queue:
        self.who.must("queues:write")
        saved = await self.house.store.save_queue(checked(draft, QueueDraft), now=self.house.now())
        self._changed()
        return saved

    async def delete(self, queue: str) -> None:
        self.who.must("queues:write")
        await self.house.store.delete_queue(queue, now=self.house.now())
        self._changed()

    async def pause(self, queue: str) -> Queue:
        return await self._set(queue, QueueMode.PAUSED)

    async def resume(self, queue: str) -> Queue:
        return await self._set(queue, QueueMode.OPEN)

    async def drain(self, queue: str) -> Queue:
        return await self._set(queue, QueueMode.DRAINING)

    async def _set(self, queue: str, mode: QueueMode) -> Queue:
        self.who.must("queues:pause")
        changed = await self.house.store.set_queue_mode(queue, mode, now=self.house.now())
        self._changed()
        return changed

    def _changed(self) -> None:
        """Runs that waited may go on, and whoever watches wants to see it."""
        self.house.newsroom.tell(Stirred(QUEUES))
        self.house.dispatcher.offer(Wake())
