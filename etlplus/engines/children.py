"""
The children of the local engine: those that work, and the ready spares that wait.

A fresh child costs a third of a second, so spares wait; a child carries one order and ends, which gives its memory back.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio

from etlplus.engines.contract import EngineStatistics
from etlplus.engines.process import ChildLost, ChildProcess, spawn

log = structlog.get_logger()

SPAWN_AGAIN_S = 1.0
"""A machine that cannot start one child will not start the next any sooner."""


class Children:
    """See the module. ``keep_spares`` runs for as long as the engine is open, then ``close`` ends everybody."""

    def __init__(
        self,
        nursery: trio.Nursery,
        command: Sequence[str],
        records: Path,
        *,
        spares: int,
        ready_within_s: float,
        grace_s: float,
    ) -> None:
        self._nursery = nursery
        self._command = command
        self._records = records
        self._spares_wanted = spares
        self._ready_within_s = ready_within_s
        self._grace_s = grace_s
        self._spares: list[ChildProcess] = []
        self._working: dict[ChildProcess, trio.CancelScope] = {}
        self._one_ended = trio.Event()
        self._refill = trio.Event()
        self._keeping = trio.CancelScope()
        self._kept = trio.Event()
        self._spawned = self._killed = 0
        self.closed = False

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[ChildProcess]:
        """A ready child for one order; it is gone when the block is over.

        Raises:
            ChildLost: none could be had, or the engine was closed before the block was over.
        """
        child = await self._take_spare()
        ready = child is not None
        child = child or await self._spawn()
        self._working[child] = scope = trio.CancelScope()
        try:
            with scope:
                if not ready:
                    await child.wait_ready(self._ready_within_s)
                yield child
        finally:
            await self._end(child, self._grace_s)
            del self._working[child]
            self._one_ended.set()
        if scope.cancelled_caught:
            raise ChildLost("the engine is closed")

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(
            working=len(self._working),
            spares=len(self._spares),
            rss_bytes=sum(child.rss_bytes() for child in [*self._working, *self._spares]),
            spawned=self._spawned,
            killed=self._killed,
        )

    async def keep_spares(self) -> None:
        """Have the spares ready."""
        try:
            with self._keeping:
                while True:
                    while len(self._spares) < self._spares_wanted:
                        await self._add_spare()
                    self._refill = trio.Event()
                    await self._refill.wait()
        finally:
            self._kept.set()

    async def close(self) -> None:
        """End everybody, and take no more orders; returns when all are reaped. Whoever waits for a working child is let go."""
        self.closed = True
        self._keeping.cancel()
        with trio.CancelScope(shield=True):
            await self._kept.wait()
            for scope in self._working.values():
                scope.cancel()
            async with trio.open_nursery() as nursery:
                for child in self._spares:
                    nursery.start_soon(self._end, child, self._grace_s)
            self._spares.clear()
            while self._working:
                self._one_ended = trio.Event()
                await self._one_ended.wait()

    async def _take_spare(self) -> ChildProcess | None:
        while self._spares:
            child = self._spares.pop(0)
            self._refill.set()
            if child.alive:
                return child
            await self._end(child, 0)
        return None

    async def _add_spare(self) -> None:
        try:
            child = await self._spawn()
            try:
                await child.wait_ready(self._ready_within_s)
            except BaseException:
                await self._end(child, 0)
                raise
        except ChildLost as lost:
            log.error("child_did_not_start", error=str(lost))
            await trio.sleep(SPAWN_AGAIN_S)
        else:
            self._spares.append(child)

    async def _spawn(self) -> ChildProcess:
        if self.closed:
            raise ChildLost("the engine is closed")
        child = await spawn(self._command, self._records)
        self._spawned += 1
        self._nursery.start_soon(child.drain_errors)
        return child

    async def _end(self, child: ChildProcess, grace_s: float) -> None:
        await child.end(grace_s=grace_s)
        self._killed += child.was_killed
