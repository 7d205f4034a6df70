"""
One life of an actor: from a fresh object to its orderly stop or its crash.

The loop waits once, then handles up to 64 messages or for 2 ms before it lets others run: one cancel point per slice, not
per message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import Any

import trio

from .actor import Actor, Context
from .asked import Asked
from .awaiting import finish, is_awaitable
from .cell import HALT, WAKE, Cell, Exit, Handler, Latest, Own
from .errors import ActorRestarted, ActorStopped, Refuse, StartFailed, Unhandled
from .messages import handlers_of
from .ref import Name, Ref, handling

SLICE_MAX = 64
SLICE_S = 0.002
CLOCK_EVERY = 8
NEVER = float("inf")
HOOK_S = 1.0
"""What ``stopping`` gets at least, when the mailbox has used up the budget."""


class Life:
    """Runs one incarnation.

    Attributes:
        ready: Whether ``started`` has returned.
        stop_by: Until when an orderly stop may take, once one is asked for; on Trio's clock.
        deadline: Until when the asker of the ask in hand will wait; infinite for a tell.
    """

    __slots__ = (
        "_find", "_last_hook", "_now", "_shutdown_s", "actor", "began_at", "cell", "deadline", "ends_for_good", "nursery", "ready",
        "stop_by", "task",
    )  # fmt: skip

    def __init__(
        self,
        cell: Cell,
        nursery: trio.Nursery,
        find: Callable[[Name[Any]], Ref[Any]],
        *,
        ends_for_good: bool,
        shutdown_s: float,
    ) -> None:
        self.cell = cell
        self.nursery = nursery
        self._find = find
        self.ends_for_good = ends_for_good
        self._shutdown_s = shutdown_s
        self.task = trio.lowlevel.current_task()
        self.deadline = NEVER
        self.ready = False
        self.stop_by = NEVER
        self._now = cell.surroundings.now
        self.began_at = self._now()
        self.actor: Actor[Any] | None = None
        self._last_hook: trio.CancelScope | None = None

    async def run(self, make: Callable[[], Actor[Any]], start_within_s: float, on_ready: Callable[[], None]) -> None:
        """Live until stopped; raises whatever the actor crashed with."""
        handling.set(self)
        self.cell.status = "starting"
        self.actor = actor = make()
        context: Context[Any] = Context(self)
        actor.ctx = context
        self.cell.install(handlers_of(actor))
        self.cell.shown = actor.snapshot
        try:
            await self._start(actor, start_within_s)
            self.cell.status = "running"
            self.ready = True
            on_ready()
            await self._handle_until_stopped()
            await self._stop(actor)
        finally:
            context.end()

    async def _start(self, actor: Actor[Any], within_s: float) -> None:
        if not overrides(actor, "started"):
            return
        with trio.move_on_after(within_s) as starting:
            await actor.started()
        if starting.cancel_called:  # even if ``started`` made nothing of it
            raise StartFailed(f"{self.cell.path} was not ready within {within_s} s")

    async def _stop(self, actor: Actor[Any]) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()  # a life that was cut comes to no orderly end
        self.cell.status = "stopping"
        now = self._now()
        until = max(min(self.stop_by, now + self._shutdown_s), now + HOOK_S)
        with trio.CancelScope(shield=True, deadline=until) as self._last_hook:
            await actor.stopping(Exit("stopped"))

    def cut(self) -> None:
        """Cancel whatever it does."""
        self.nursery.cancel_scope.cancel()
        if self._last_hook is not None:
            self._last_hook.cancel()

    @property
    def was_cut_short(self) -> bool:
        """Whether the last hook did not come to its end in time."""
        return self._last_hook is not None and self._last_hook.cancelled_caught

    def find(self, name: Name[Any], /) -> Ref[Any]:
        """The reference of a name."""
        return self._find(name)

    def drop_in_hand(self, error: BaseException | None) -> None:
        """The life ended over the message in hand: its asker is told so."""
        asked, self.cell.in_hand = self.cell.in_hand, None
        if isinstance(asked, Asked):
            end = ActorStopped(self.cell.path, begun=True) if error is None else ActorRestarted(self.cell.path)
            end.__cause__ = error
            asked.fail(end)

    async def _handle_until_stopped(self) -> None:
        """Slice by slice. Where nothing is queued, the wait for the mailbox is the cancel point."""
        cell = self.cell
        while True:
            if cell.system or cell.draining:
                await trio.lowlevel.checkpoint()
                first: Any = WAKE
            else:
                first = await cell.receive.receive()
            stop = await self._slice(first)
            cell.in_hand = None
            if stop:
                return

    async def _slice(self, item: Any) -> bool:
        """Handle one slice, beginning with ``item``; True once the actor shall stop."""
        cell, system, take, now = self.cell, self.cell.system, self.cell.take, self._now
        handler_of = cell.handlers.get
        began = now()
        left = SLICE_MAX
        while True:
            handler = handler_of(item.__class__)
            if handler is not None:
                cell.handled += 1
                cell.in_hand = item
                try:
                    result = handler(item)
                    if result is not None:
                        await (result if type(result) is CoroutineType else finish(result))
                except Refuse:
                    cell.surroundings.dead_letters.bury(cell.path, item, "refused")
            elif type(item) is Asked:
                answering = self._answer(item, began)
                if answering is not None:
                    await answering
            else:
                await self._handle_special(item, began)
            left -= 1
            if not left % CLOCK_EVERY and (not left or now() - began > SLICE_S):
                return False
            if system:
                if system[0] is HALT:
                    return True
                item = system.pop(0)
                continue
            try:
                item = take()
            except trio.WouldBlock:
                return cell.draining

    async def _handle_special(self, item: Any, now: float) -> None:
        """Handle what is not simply a message: an ask, something of one's own, the latest of a type, a call to wake up."""
        cell = self.cell
        if isinstance(item, Own):
            if item.life is self and item.pending:
                await self._handle(item.message, item.taken)
            else:
                cell.shed += 1
            return
        if type(item) is Latest:
            item = cell.taken_latest(item)
        if type(item) is Asked:
            await finish(self._answer(item, now))
        elif item is not WAKE:
            await self._handle(item, lambda: item)

    async def _handle(self, item: Any, taken: Callable[[], Any]) -> None:
        """Handle the message that ``taken`` makes of an item; the item is in hand from before."""
        cell = self.cell
        cell.handled += 1
        cell.in_hand = item
        cell.in_hand = message = taken()
        try:
            await finish(self._handler_of(message)(message))
        except Refuse:
            cell.surroundings.dead_letters.bury(cell.path, message, "refused")

    def _answer(self, asked: Asked, now: float) -> Coroutine[Any, Any, None] | None:
        """Answer an ask, unless nobody waits for it any more. What an async handler began is returned, to be awaited."""
        cell = self.cell
        if asked.deadline <= now:
            asked.ring()
        if not asked.pending:
            cell.shed += 1
            return None
        cell.handled += 1
        cell.in_hand = asked
        self.deadline = asked.deadline
        try:
            result = self._handler_of(asked.message)(asked.message)
        except Refuse as refusal:
            asked.fail(refusal)
        else:
            if result is not None and is_awaitable(result):
                return self._finish_answer(asked, result)
            asked.answer(result)
        self.deadline = NEVER
        return None

    async def _finish_answer(self, asked: Asked, result: Awaitable[Any]) -> None:
        try:
            asked.answer(await result)
        except Refuse as refusal:
            asked.fail(refusal)
        self.deadline = NEVER

    def _handler_of(self, message: Any) -> Handler:
        handler = self.cell.handlers.get(message.__class__)
        if handler is None:
            raise Unhandled(self.cell.path, message)
        return handler


def overrides(actor: Actor[Any], hook: str) -> bool:
    """Whether the actor's class has a hook of its own."""
    return getattr(type(actor), hook) is not getattr(Actor, hook)
