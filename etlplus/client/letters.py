"""
Dead letters, over HTTP.
"""

from __future__ import annotations

from etlplus.client.wire import Wire, path_of
from etlplus.jobs.letters import Edit
from etlplus.service.choosing import Letters
from etlplus.service.views import Discarded, LetterView, Page, Replays


class ClientLetters:
    """See ``contract.DeadLetters``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def list(
        self, which: Letters | None = None, *, resolved: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[LetterView]:
        """See the contract; ``run_ids`` are for replaying and discarding."""
        asked = which or Letters()
        query = {
            "job": asked.job,
            "queue": asked.queue,
            "code": asked.code,
            "failed_from": asked.failed_from.isoformat() if asked.failed_from else None,
            "failed_before": asked.failed_before.isoformat() if asked.failed_before else None,
            "resolved": "true" if resolved else None,
            "limit": limit,
            "cursor": cursor,
        }
        return await self._wire.ask(Page[LetterView], "GET", path_of("dead-letters"), query=query)

    async def replay(
        self, which: Letters, *, edit: Edit | None = None, dry_run: bool = False, limit: int = 1000
    ) -> Replays:
        body = {"which": which, "edit": edit or {}, "dry_run": dry_run, "limit": limit}
        return await self._wire.act(Replays, path_of("dead-letters", "replay"), body=body)

    async def discard(self, which: Letters, *, reason: str, limit: int = 1000) -> Discarded:
        body = {"which": which, "reason": reason, "limit": limit}
        return await self._wire.act(Discarded, path_of("dead-letters", "discard"), body=body)
