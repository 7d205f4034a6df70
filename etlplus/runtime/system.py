"""
A system: one tree of actors within one task of somebody's program.

``open_system`` returns once the whole tree is ready. From then on the tree lives in a shield of its own: when the body ends
or is cancelled, the tree is told to stop and drains in reverse start order within its budget, and nothing of it is left
when the block is over. A root that gives up cancels the body and raises SystemFailed.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

import trio

from etlplus.runtime.errors import SystemFailed
from etlplus.runtime.groups import lone
from etlplus.runtime.ref import Name, Ref
from etlplus.runtime.specs import Supervisor
from etlplus.runtime.supervision import Directory, SupervisorNode
from etlplus.runtime.tree import TreeSnapshot

A = TypeVar("A")
DEAD_LETTERS_MAX = 256

CrashHook = Callable[[str, BaseException], None]


def _print_crash(path: str, error: BaseException) -> None:
    sys.stderr.write(f"{path} crashed: {error!r}\n")


class DeadLetter(tuple[str, str, str]):
    """Path, type of message, and why nobody will handle it."""


class System:
    """A running tree."""

    def __init__(self, tree: Supervisor, name: str, drain_s: float, rng: Random, on_crash: CrashHook) -> None:
        self.dead_letters: deque[DeadLetter] = deque(maxlen=DEAD_LETTERS_MAX)
        self._directory = Directory(rng, self._bury, on_crash)
        self._root = SupervisorNode(tree, name, self._directory)
        self._drain_s = drain_s
        self._scope = trio.CancelScope()
        self._stop_asked = trio.Event()

    def ref(self, name: Name[A]) -> Ref[A]:
        """The actor of that name. Raises KeyError if there is none."""
        return Ref(self._directory.find(name.value))

    def tree(self) -> TreeSnapshot:
        """The tree as it is now."""
        return self._root.snapshot()

    def stop(self, *, drain: float | None = None) -> None:
        """Begin to stop. Asked again with a shorter ``drain`` (seconds), the budget shrinks; 0 cancels what still runs."""
        budget_s = self._drain_s if drain is None else drain
        self._scope.deadline = min(self._scope.deadline, trio.current_time() + budget_s)
        self._stop_asked.set()

    def _bury(self, path: str, message: Any, why: str) -> None:
        self.dead_letters.append(DeadLetter((path, type(message).__name__, why)))

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The tree's one task in the embedder's nursery."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._root.begin()
                    nursery.start_soon(self._root.live)
                    await self._root.settled.wait()
                    self._scope.shield = True
                    if self._root.error is None:
                        task_status.started()
                        nursery.start_soon(self._stop_when_asked)
                        await self._root.ended.wait()
                        nursery.cancel_scope.cancel()
        finally:
            self._root.close()
        if self._root.error is not None:
            raise SystemFailed(f"{self._root.path} failed: {self._root.error}") from self._root.error

    async def _stop_when_asked(self) -> None:
        await self._stop_asked.wait()
        await self._root.stop()


@asynccontextmanager
async def open_system(
    tree: Supervisor,
    *,
    name: str = "",
    drain: float = 30.0,
    seed: int | None = None,
    on_crash: CrashHook = _print_crash,
) -> AsyncGenerator[System]:
    """Start a tree, and stop it when the block is left.

    Args:
        name: Prefix of all paths.
        drain: Seconds for the whole orderly stop; what still runs then is cancelled.
        seed: Seed of the jitter of backoffs, for repeatable tests.
        on_crash: Called with the path and the error of every crash.

    Raises:
        SystemFailed: the tree could not start, or its root gave up; the cause tells the story.
    """
    system = System(tree, name, drain, Random(seed), on_crash)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(system.run)
            try:
                yield system
            finally:
                system.stop()
    except BaseExceptionGroup as group:
        error = lone(group)
        raise error from error.__cause__
