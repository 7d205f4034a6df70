"""
trio-asyncio's loop: asyncpg lives in it, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio
import trio_asyncio

T = TypeVar("T")

_trio_asyncio: Any = trio_asyncio
"""It ships no types."""


LEFT_BEHIND = "unexpected connection_lost"
"""What asyncpg's error says."""


class Loop:
    """See the module. Made by ``open_loop``."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Carry out a coroutine of asyncio's flavor.

        Cancellation: it is cancelled, too, and waited for; if it ends well all the same, its result counts.
        """
        return await self._loop.run_aio_coroutine(coroutine)


@asynccontextmanager
async def open_loop() -> AsyncGenerator[Loop]:
    """A loop that runs until the block is left.

    Its task is one of Trio's system tasks: no cancel scope of a caller or an embedder reaches it, so nobody ever waits for a
    loop that does not run any more.
    """
    ready, end, ended = trio.Event(), trio.Event(), trio.Event()
    loops: list[Loop] = []

    async def host() -> None:
        try:
            async with _trio_asyncio.open_loop() as loop:
                loop.set_exception_handler(_tell)
                loops.append(Loop(loop))
                ready.set()
                await end.wait()
        finally:
            ended.set()

    trio.lowlevel.spawn_system_task(host)
    with trio.CancelScope(shield=True):
        await ready.wait()
    try:
        yield loops[0]
    finally:
        with trio.CancelScope(shield=True):
            end.set()
            await ended.wait()


def _tell(loop: Any, context: dict[str, Any]) -> None:
    """What nobody heard is logged, as asyncio does; trio-asyncio would bring its loop down, and the whole program with it. Not
    even logged is what asyncpg leaves behind when connecting is cancelled: that the connection went.
    """
    error = context.get("exception")
    if not (isinstance(error, ConnectionError) and LEFT_BEHIND in str(error)):
        asyncio.BaseEventLoop.default_exception_handler(loop, context)
