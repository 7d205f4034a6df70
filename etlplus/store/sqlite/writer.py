"""
The one who writes: a single thread with group commit, or, for a store in memory, the caller itself.

All units that wait while one transaction is being committed go together into the next one, each in a savepoint of its own:
one failing unit undoes only itself, and a disk that takes milliseconds to sync is asked once for all of them. Since nobody
else ever writes, nobody ever sees "database is locked".
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import trio

from etlplus.errors import StoreUnavailable

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]
GROUP_MAX = 256
CLOSE_WITHIN_S = 10.0


class Writer(Protocol):
    """Runs units, one after the other."""

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit; when this returns, what it did is on disk.

        Raises:
            StoreUnavailable: the store is closed, or the disk refused.
        """
        ...

    def statistics(self) -> dict[str, float]: ...


class InlineWriter:
    """Runs each unit at once, in the caller's task: for a store in memory, deterministic under a virtual clock."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._units = 0

    async def run(self, unit: Unit[T]) -> T:
        await trio.lowlevel.checkpoint()
        self._units += 1
        self._db.execute("BEGIN IMMEDIATE")
        try:
            result = unit(self._db)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return result

    def statistics(self) -> dict[str, float]:
        return {"units": self._units}


class _Waiting:
    """A unit, and the task that waits for it; settled exactly once, in the Trio thread."""

    def __init__(self, unit: Unit[Any]) -> None:
        self.unit = unit
        self.done = trio.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        self.done.set()


class ThreadWriter:
    """Owns the writing connection and its thread. Open it with ``open_thread_writer``."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._trio = trio.lowlevel.current_trio_token()
        self._closed = False
        self._units = self._commits = 0
        self._thread = threading.Thread(target=self._work, name="etlplus-sqlite-writer", daemon=True)
        self._thread.start()

    async def run(self, unit: Unit[T]) -> T:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        waiting = _Waiting(unit)
        self._queue.put(waiting)
        await waiting.done.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.value

    def statistics(self) -> dict[str, float]:
        return {"units": self._units, "commits": self._commits}

    async def close(self) -> None:
        """Finish what was handed in, then end the thread; later units are refused."""
        self._closed = True
        self._queue.put(None)
        await trio.to_thread.run_sync(self._thread.join, CLOSE_WITHIN_S)

    def _work(self) -> None:
        last = False
        while not last:
            first = self._queue.get()
            if first is None:
                return
            group, last = self._collect(first)
            self._commit(group)
            self._settle(group)

    def _collect(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """Everything that waits by now, and whether the end was among it."""
        group = [first]
        while len(group) < GROUP_MAX:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return group, False
            if waiting is None:
                return group, True
            group.append(waiting)
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for waiting in group:
                self._run(waiting)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._refuse(group, error)
        self._units += len(group)
        self._commits += 1

    def _run(self, waiting: _Waiting) -> None:
        """One unit in its savepoint; whatever it raises goes to the one who asked, and undoes this unit only."""
        self._db.execute("SAVEPOINT unit")
        try:
            waiting.value = waiting.unit(self._db)
        except sqlite3.OperationalError:
            raise  # the disk, not the unit: the whole group is refused
        except Exception as error:  # noqa: BLE001 - handed to the caller, who raises it
            waiting.error = error
            self._db.execute("ROLLBACK TO unit")
        self._db.execute("RELEASE unit")

    def _refuse(self, group: list[_Waiting], error: sqlite3.Error) -> None:
        """The group could not be written: undo all of it, and tell everybody why; the next group may fare better."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        for waiting in group:
            waiting.value, waiting.error = None, StoreUnavailable(f"the store could not write: {error}")

    def _settle(self, group: list[_Waiting]) -> None:
        def settle() -> None:
            for waiting in group:
                waiting.settle()

        try:
            self._trio.run_sync_soon(settle)
        except trio.RunFinishedError:
            return  # nobody is left who could wait


@asynccontextmanager
async def open_thread_writer(db: sqlite3.Connection) -> AsyncGenerator[ThreadWriter]:
    """A writer in a thread of its own; leaving finishes what was handed in, also when cancelled."""
    writer = ThreadWriter(db)
    try:
        yield writer
    finally:
        with trio.CancelScope(shield=True):
            await writer.close()
