"""
Admission by memory: attempts go in while the sum of their limits fits into the budget.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio


class Admission:
    """First come, first served: a large attempt is not overtaken for ever by small ones."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._turn = trio.StrictFIFOLock()
        self._freed = trio.Event()

    @asynccontextmanager
    async def admit(self, wanted_bytes: int) -> AsyncGenerator[None]:
        """Wait until there is room; an attempt larger than the whole budget goes in alone."""
        async with self._turn:
            while self._used_bytes and self._used_bytes + wanted_bytes > self._budget_bytes:
                self._freed = trio.Event()
                await self._freed.wait()
            self._used_bytes += wanted_bytes
        try:
            yield
        finally:
            self._used_bytes -= wanted_bytes
            self._freed.set()
