"""
The receipts facet: requests that take effect once, for doors whose callers may not hear an answer and ask again.
"""

from __future__ import annotations

from etlplus.jobs.receipts import Answer, Once, Receipt
from etlplus.service.facet import Facet


class ReceiptsFacet(Facet):
    """See ``contract.Receipts``."""

    def request(self, key: str, route: str, fingerprint: str) -> Once:
        return Once(principal=self.who.id, key=key, route=route, fingerprint=fingerprint, at=self.house.now())

    async def find(self, request: Once) -> Receipt | None:
        return await self.house.store.receipt(request)

    async def keep(self, request: Once, answer: Answer) -> None:
        await self.house.store.keep_answer(request, answer)
