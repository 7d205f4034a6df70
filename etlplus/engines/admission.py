"""
Admission by memory: attempts go in while the sum of their limits fits into the budget.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from etlplus.engines.contract import Lease


class Admission:
    """First come, first served: a large attempt is not overtaken for ever by small ones."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._used_bytes = 0
        self._turn = trio.StrictFIFOLock()
        self._freed = trio.Event()

    @asynccontextmanager
    async def admit(self, wanted_bytes: int, lease: Lease) -> AsyncGenerator[bool]:
        """Wait until there is room, and say whether there was before the lease ran out.

        An attempt larger than the whole budget goes in alone.
        """
        admitted = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_over, lease, nursery.cancel_scope)
                await self._enter(wanted_bytes)
                admitted = True
                nursery.cancel_scope.cancel()
            yield admitted
        finally:
            if admitted:
                self._used_bytes -= wanted_bytes
                self._freed.set()

    async def _enter(self, wanted_bytes: int) -> None:
        async with self._turn:
            while self._used_bytes and self._used_bytes + wanted_bytes > self._budget_bytes:
                self._freed = trio.Event()
                await self._freed.wait()
            self._used_bytes += wanted_bytes


async def _cancel_when_over(lease: Lease, scope: trio.CancelScope) -> None:
    await lease.wait_over()
    scope.cancel()
