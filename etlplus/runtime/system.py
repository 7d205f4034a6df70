"""
A system: one tree of actors within one task of somebody's program.

``open_system`` returns once the whole tree is ready. The tree lives in a shield of its own: when its start or the body is
cancelled, or the body ends, the tree is told to stop and drains in reverse start order within its budget, and nothing of it is
left when the block is over. A root that gives up cancels the body and raises SystemFailed.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, TypeVar

import trio

from .cell import Surroundings
from .dead_letters import DeadLetter
from .directory import Directory
from .errors import SystemFailed
from .groups import unwrapped
from .node import Crash
from .ref import Name, Ref
from .specs import Supervisor
from .supervision import SupervisorNode
from .tap import Tap
from .tree import Statistics, TreeSnapshot

A = TypeVar("A")

CrashHook = Callable[[Crash], None]
DeadLetterHook = Callable[[DeadLetter], None]


def _print_crash(crash: Crash) -> None:
    sys.stderr.write(f"{crash.path} crashed:\n{''.join(traceback.format_exception(crash.error))}")


def _print_dead_letter(letter: DeadLetter) -> None:
    sys.stderr.write(f"{letter.path} will not handle {type(letter.message).__name__}: {letter.why}\n")


class System:
    """A running tree. Made by ``open_system``.

    Attributes:
        body: What is cancelled when the tree is lost, though it cannot end.
    """

    def __init__(self, tree: Supervisor, name: str, drain_s: float, directory: Directory) -> None:
        self.directory = directory
        self._root = SupervisorNode(tree, name, directory)
        self._drain_s = drain_s
        self._budget = trio.CancelScope()
        self.body = trio.CancelScope()
        self._stop_asked = trio.Event()
        self._hooks = directory.surroundings.hooks
        self._hooks.at_failure = self._end

    def ref(self, name: Name[A]) -> Ref[A]:
        """The actor of that name. Raises KeyError if there is none."""
        return self.directory.ref(name)

    def tree(self) -> TreeSnapshot:
        """The tree as it is now."""
        return self._root.snapshot()

    def statistics(self) -> Statistics:
        """What became of all messages so far."""
        return self.directory.statistics()

    @property
    def dead_letters(self) -> deque[DeadLetter]:
        """The newest messages that nobody handled, and why; ``statistics`` tells how many there ever were."""
        return self.directory.surroundings.dead_letters.newest

    def tap(self, name: Name[Any]) -> Tap:
        """Listen in on an actor: ``with system.tap(name) as tap``. Raises KeyError if nobody is called so, or a pool is."""
        return Tap(self.directory.cell(name))

    def stop(self, *, drain: float | None = None) -> None:
        """Begin to stop. Asked again with a shorter ``drain`` (seconds), the budget shrinks; 0 cancels what still runs."""
        budget_s = self._drain_s if drain is None else drain
        self._budget.deadline = min(self._budget.deadline, trio.current_time() + budget_s)
        self._stop_asked.set()

    async def run(self) -> None:
        """The tree's one task in the embedder's nursery, in a shield of its own. What cancels its start asks it to stop."""
        try:
            with trio.CancelScope(shield=True), unwrapped(1):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.directory.surroundings.alarms.ring_when_due)
                    nursery.start_soon(self._stop_when_asked)
                    nursery.start_soon(self._end_body_when_stuck)
                    await self._root.live()
                    nursery.cancel_scope.cancel()
        finally:
            self._root.close()
            self._hooks.over = True
        failures = [*filter(None, [self._root.error]), *self._hooks.failures]
        if failures:
            what = f"{self._root.path} failed" if self._root.error is not None else "a hook failed"
            cause = failures[0] if len(failures) == 1 else ExceptionGroup("all that failed", failures)
            raise SystemFailed(f"{what}: {failures[0]}") from cause

    def begin(self) -> None:
        """Prepare to ``run``."""
        self._root.begin(on_trial=True)

    async def wait_ready(self) -> None:
        """Wait until the whole tree is ready. If it does not get so, ``run`` raises, and this is cancelled by it."""
        await self._root.wait_settled()
        if not self._root.alive:
            await trio.sleep_forever()

    async def _end_body_when_stuck(self) -> None:
        """A root that gave up, but over somebody wedged, cannot end: the body shall hear of it all the same."""
        await self._root.wait_ended()
        if self._root.stuck and not self._stop_asked.is_set():
            self._end()

    def _end(self) -> None:
        """Nobody but the system itself wants it to end: the body hears of that by being cancelled."""
        self.body.cancel()
        self.stop()

    async def _stop_when_asked(self) -> None:
        await self._stop_asked.wait()
        with self._budget:
            await self._root.stop(for_good=True)
        if self._budget.cancelled_caught:
            self._root.cut()


@asynccontextmanager
async def open_system(
    tree: Supervisor,
    *,
    name: str = "",
    drain: float = 30.0,
    seed: int | None = None,
    on_crash: CrashHook = _print_crash,
    on_dead_letter: DeadLetterHook = _print_dead_letter,
) -> AsyncGenerator[System]:
    """Start a tree, and stop it when the block is left.

    Args:
        name: Prefix of all paths.
        drain: Seconds for the whole orderly stop; what still runs then is cancelled, and reported as killed.
        seed: Seed of the jitter of backoffs and timers, for repeatable tests.
        on_crash: Told of every crash.
        on_dead_letter: Told of messages that nobody will handle, though of ten within five minutes at most.

    Raises:
        SystemFailed: the tree could not start, its root gave up, or a hook raised; the cause tells the story.
        ValueError: two actors of the tree have the same name.
    """
    surroundings = Surroundings(on_dead_letter, Random(seed))
    async with running(System(tree, name, drain, Directory(surroundings, on_crash))) as system:
        yield system


@asynccontextmanager
async def running(system: System) -> AsyncGenerator[System]:
    """Start a system that has been put together, and stop it when the block is left; see ``open_system``."""
    system.begin()
    with unwrapped(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.run)
            try:
                with system.body:
                    await system.wait_ready()
                    yield system
            finally:
                system.stop()
