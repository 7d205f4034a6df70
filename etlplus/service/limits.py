"""
The limits facet: how many runs may be carried at once, and begun in a while.
"""

from __future__ import annotations

from etlplus.actors.messages import Wake
from etlplus.actors.newsroom import Stirred
from etlplus.actors.watchers import QUEUES
from etlplus.jobs.queues import Limit, LimitDraft
from etlplus.service.checking import checked
from etlplus.service.facet import Facet
from etlplus.service.views import Page


class LimitsFacet(Facet):
    """See ``contract.Limits``."""

    async def list(self) -> Page[Limit]:
        self.who.must("queues:read")
        return Page(await self.house.store.limits())

    async def save(self, draft: LimitDraft) -> Limit:
        self.who.must("queues:write")
        saved = await self.house.store.save_limit(checked(draft, LimitDraft), now=self.house.now())
        self._changed()
        return saved

    async def delete(self, limit: str) -> None:
        self.who.must("queues:write")
        await self.house.store.delete_limit(limit, now=self.house.now())
        self._changed()

    def _changed(self) -> None:
        """Runs that waited may go on, and whoever watches wants to see it."""
        self.house.newsroom.tell(Stirred(QUEUES))
        self.house.dispatcher.offer(Wake())
