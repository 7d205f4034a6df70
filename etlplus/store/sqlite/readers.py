"""
Those who read: a few connections beside the writer's, each used by one thread at a time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

import trio

from etlplus.errors import StoreUnavailable

T = TypeVar("T")
Look = Callable[[sqlite3.Connection], T]


class Readers(Protocol):
    """Run functions that only read."""

    async def run(self, look: Look[T]) -> T: ...


class InlineReaders:
    """Reads at once, in the caller's task."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def run(self, look: Look[T]) -> T:
        await trio.lowlevel.checkpoint()
        return look(self._db)


class ThreadReaders:
    """Reads in worker threads, at most ``amount`` at a time; an async context manager that closes the connections."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], amount: int) -> None:
        self._free = [connect() for _ in range(amount)]
        self._limiter = trio.CapacityLimiter(amount)

    async def __aenter__(self) -> ThreadReaders:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nobody reads any more: a cancelled caller waits for its thread, so no connection is out."""
        for db in self._free:
            db.close()

    async def run(self, look: Look[T]) -> T:
        return await trio.to_thread.run_sync(self._run, look, limiter=self._limiter)

    def _run(self, look: Look[T]) -> T:
        db = self._free.pop()
        try:
            return look(db)
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the store could not read: {error}") from error
        finally:
            self._free.append(db)
