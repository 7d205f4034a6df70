"""
What people and programs may ask about runs that failed for good.
"""

from __future__ import annotations

from typing import Protocol

from etlplus.jobs.letters import Edit
from etlplus.service.choosing import Letters
from etlplus.service.views import Discarded, LetterView, Page, Replays


class DeadLetters(Protocol):
    """Runs that failed for good and wait for a person."""

    async def list(
        self, which: Letters | None = None, *, resolved: bool = False, limit: int = 50, cursor: str | None = None
    ) -> Page[LetterView]:
        """Dead letters that nobody replayed or discarded yet, newest run first; with ``resolved``, the others. (runs:read)"""
        ...

    async def replay(
        self, which: Letters, *, edit: Edit | None = None, dry_run: bool = False, limit: int = 1000
    ) -> Replays:
        """Make new runs from dead letters, oldest first, each of its job's present version. (letters:resolve)

        ``edit`` changes their parameters (RFC 7396). With ``dry_run`` nothing is stored. What cannot be replayed is answered
        with its problems and stays.
        """
        ...

    async def discard(self, which: Letters, *, reason: str, limit: int = 1000) -> Discarded:
        """Resolve dead letters without a replay; the reason is kept. (letters:resolve)"""
        ...
