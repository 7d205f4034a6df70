"""
One life of an actor: from a fresh object to its orderly stop or its crash.

The loop waits once, then handles up to 64 messages or for 2 ms before it lets others run: one cancel point per slice, not
per message.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import trio

from etlplus.runtime.actor import Actor, Context, handlers_of
from etlplus.runtime.cell import STOP, WAKE, Asked, Cell, Exit, Own
from etlplus.runtime.errors import ActorRestarted, Refuse, Unhandled
from etlplus.runtime.ref import handling

SLICE_MAX = 64
SLICE_S = 0.002
CLOCK_EVERY = 8


class Life:
    """Runs one incarnation. ``ready`` is set once ``started`` has returned."""

    def __init__(self, cell: Cell, find: Callable[[str], Cell], *, shutdown_s: float) -> None:
        self.cell = cell
        self.find = find
        self.ready = trio.Event()
        self.scope = trio.CancelScope()
        self.nursery: trio.Nursery
        self._shutdown_s = shutdown_s
        self._in_hand: Asked | None = None
        self._table: dict[type, Callable[[Any], Any]] = {}

    async def run(self, make: Callable[[], Actor[Any]]) -> None:
        """Live until stopped; raises whatever the actor crashed with."""
        try:
            async with trio.open_nursery() as nursery:
                self.nursery = nursery
                actor = make()
                actor.ctx = Context(self)
                self._table = handlers_of(actor)
                self.cell.snapshot = actor.snapshot
                self.cell.status = "starting"
                await actor.started()
                self.cell.status = "running"
                self.ready.set()
                await self._handle_until_stopped()
                await self._stop(actor)
                self.nursery.cancel_scope.cancel()
        except BaseException as error:
            if self._in_hand is not None:
                restarted = ActorRestarted(self.cell.path)
                restarted.__cause__ = error
                self._in_hand.answer(error=restarted)
            raise

    async def _stop(self, actor: Actor[Any]) -> None:
        self.cell.status = "stopping"
        with trio.CancelScope(shield=True, deadline=trio.current_time() + self._shutdown_s):
            await actor.stopping(Exit("stopped"))

    async def _handle_until_stopped(self) -> None:
        """Slice by slice; a stop in the system lane is obeyed once what was queued before it is handled."""
        cell = self.cell
        while True:
            first = None if cell.system else await cell.receive.receive()
            if await self._slice(first):
                return
            await trio.lowlevel.checkpoint()

    async def _slice(self, item: Any) -> bool:
        """Handle one slice, beginning with ``item``; True once the actor was told to stop and its mailbox is empty."""
        cell = self.cell
        began = trio.current_time()
        for count in range(1, SLICE_MAX + 1):
            if item is not None and item is not WAKE:
                await self._handle(item)
            if count % CLOCK_EVERY == 0 and trio.current_time() - began > SLICE_S:
                return False
            if cell.system and cell.system[0] is not STOP:
                item = self._from_system(cell.system.popleft())
                continue
            try:
                item = cell.receive.receive_nowait()
            except trio.WouldBlock:
                return bool(cell.system)
        if item is not None and item is not WAKE:
            await self._handle(item)
        return False

    def _from_system(self, item: Any) -> Any:
        """The message in an entry of the system lane; nothing for what an earlier life told itself."""
        if isinstance(item, Own):
            if item.life is not self:
                return None
            item = item.message
        self.cell.counters.sent += 1
        return item

    async def _handle(self, item: Any) -> None:
        """Handle one message. One that the actor crashes over counts as handled, too: it is not coming back."""
        counters = self.cell.counters
        if not isinstance(item, Asked):
            counters.handled += 1
            await self._call(item, float("inf"))
        elif item.task is None or item.deadline <= trio.current_time():
            counters.shed += 1
        else:
            counters.handled += 1
            await self._answer(item)

    async def _answer(self, asked: Asked) -> None:
        self._in_hand = asked
        try:
            asked.answer(await self._call(asked.message, asked.deadline))
        except Refuse as refusal:
            asked.answer(error=refusal)
        self._in_hand = None

    async def _call(self, message: Any, deadline: float) -> Any:
        method = self._table.get(cast("type[Any]", type(message)))
        if method is None:
            raise Unhandled(self.cell.path, message)
        token = handling.set((self.cell, deadline))
        try:
            result = method(message)
            if isinstance(result, Coroutine):
                return await cast("Coroutine[Any, Any, Any]", result)
            return result
        finally:
            handling.reset(token)
