"""
asyncio's own loop, turned by Trio: asyncpg lives in it, and nothing else.

Nobody runs this loop for good. It is turned: it calls back whatever is ready, asks its sockets once there is nothing left, and
where it would wait, it stops instead. Whoever hands in a coroutine turns it at once, so the first statement is on its way
without delay; from then on a system task of Trio's turns it, whenever the file descriptor behind which all its sockets stand is
readable or its next timer is due. So an answer of the server costs one turn of Trio's loop, and not one for every step that
asyncio makes of it.
"""

from __future__ import annotations

import asyncio
import math
from asyncio.events import _get_running_loop, _set_running_loop  # pyright: ignore[reportPrivateUsage] - for those who write loops
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from selectors import DefaultSelector, SelectorKey
from typing import Any, NoReturn, TypeVar

import trio

T = TypeVar("T")

ROUNDS_MAX = 32
"""So often one turn goes round at most, before Trio's other tasks have theirs; an answer of the server takes about three."""


class _Sockets(DefaultSelector):
    """What the loop asks for news of its sockets. ``at_rest`` is told how long the loop would wait then, in seconds."""

    def __init__(self, at_rest: Callable[[float], None]) -> None:
        super().__init__()
        self._at_rest = at_rest
        self.rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        self.rounds += 1
        if self.rounds >= ROUNDS_MAX:
            self._at_rest(0)
        elif timeout is None or timeout > 0:  # nothing is ready
            if news := super().select(0):
                return news
            self._at_rest(math.inf if timeout is None else timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    """See the module. Made by ``open_loop``."""

    def __init__(self) -> None:
        self._sockets = _Sockets(self._rest)
        self._rests_until = math.inf
        self._wait = trio.CancelScope()
        super().__init__(self._sockets)

    def time(self) -> float:
        """Trio's idea of the time."""
        return trio.current_time()

    def call_soon(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        """As ever; from outside of a turn, the next one is due at once."""
        if not self.is_running():
            self._wait.deadline = -math.inf
        return super().call_soon(*args, **kwargs)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Carry out a coroutine of asyncio's flavor.

        Cancellation: it is cancelled, too, and waited for; if it ends well all the same, its result counts.
        """
        task = self.create_task(coroutine)
        self.turn()
        if task.done():
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self._wait_for(task)
        return task.result()

    @trio.lowlevel.enable_ki_protection
    def turn(self) -> None:
        """Call back whatever is ready, until nothing is."""
        host = _get_running_loop()  # Trio itself may be a guest in a loop of asyncio's
        _set_running_loop(None)
        self._sockets.rounds = 0
        try:
            self.run_forever()
        finally:
            _set_running_loop(host)
        self._wait.deadline = self._rests_until

    async def keep_turning(self) -> NoReturn:
        """Turn whenever there is something to do."""
        while True:
            with trio.CancelScope(deadline=self._rests_until) as self._wait:
                await trio.lowlevel.wait_readable(self._sockets.fileno())
            self.turn()

    async def end(self) -> None:
        """Let nothing be left in the loop, and close it."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        await self.run(self.shutdown_asyncgens())
        await self.run(self.shutdown_default_executor())

    def _rest(self, wait_s: float) -> None:
        self._rests_until = trio.current_time() + wait_s
        self.stop()

    async def _wait_for(self, task: asyncio.Task[Any]) -> None:
        waiting = trio.lowlevel.current_task()
        raised: list[Callable[[], NoReturn]] = []

        def cancel(raise_cancelled: Callable[[], NoReturn]) -> trio.lowlevel.Abort:
            raised.append(raise_cancelled)
            task.cancel()
            self._wait.deadline = -math.inf
            return trio.lowlevel.Abort.FAILED

        task.add_done_callback(lambda _: trio.lowlevel.reschedule(waiting))
        await trio.lowlevel.wait_task_rescheduled(cancel)
        if raised and task.cancelled():
            raised[0]()


@asynccontextmanager
async def open_loop() -> AsyncGenerator[Loop]:
    """A loop that is turned until the block is left.

    Its task is one of Trio's system tasks: no cancel scope of a caller or an embedder reaches it, so nobody ever waits for a
    loop that is not turned any more.
    """
    loop, turning, ended = Loop(), trio.CancelScope(), trio.Event()

    async def keep() -> None:
        with turning:
            await loop.keep_turning()
        ended.set()

    trio.lowlevel.spawn_system_task(keep)
    try:
        yield loop
    finally:
        with trio.CancelScope(shield=True):
            await loop.end()
            turning.cancel()
            await ended.wait()
        loop.close()
