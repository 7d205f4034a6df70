"""
References: the only way to reach an actor, stable over its restarts.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import trio

from .asked import Asked
from .cell import Cell, Exit
from .errors import AskCycle, AskTimeout
from .messages import Ask, Tell

A = TypeVar("A")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

ASK_WITHIN_S = 5.0


class Handling(Protocol):
    """The life whose handler is at work: its identity, its task, and until when the asker in hand will wait."""

    cell: Cell
    task: trio.lowlevel.Task
    deadline: float


handling: ContextVar[Handling | None] = ContextVar("handling", default=None)
"""The life in whose context this code runs; None outside of actors and in piped work."""


class Name(msgspec.Struct, Generic[A], frozen=True):
    """The name of an actor in its system; the type parameter is the tag of its messages."""

    value: str


class Pending(Generic[R_co]):
    """The answer to a request, once it is there: await it. What can be raised is what ``Ref.ask`` raises."""

    __slots__ = ("_asked", "_cell")

    def __init__(self, asked: Asked, cell: Cell) -> None:
        self._asked = asked
        self._cell = cell

    def __await__(self) -> Generator[Any, Any, R_co]:
        return self._wait().__await__()

    async def _wait(self) -> R_co:
        asker = handling.get()
        if asker is None or not self._asked.pending or trio.lowlevel.current_task() is not asker.task:
            return await self._asked.outcome()  # type: ignore[no-any-return]  # the slot knows no type
        refuse_cycle(asker.cell, self._cell)
        asker.cell.waits_for = self._cell
        try:
            return await self._asked.outcome()  # type: ignore[no-any-return]  # as above
        finally:
            asker.cell.waits_for = None


class Ref(Generic[A]):
    """A handle to an actor that takes messages of the tag ``A``."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __repr__(self) -> str:
        return f"<Ref {self.path}>"

    @property
    def path(self) -> str:
        """Where the actor stands in its tree."""
        return self._cell.path

    def tell(self, message: Tell[A] | Ask[A, Any], /) -> None:
        """Queue a message and go on; never waits.

        Raises:
            MailboxFull: there is no room.
            ActorStopped: nobody will handle it.
        """
        cell = self._cell
        cell.sent += 1
        try:
            cell.deliver(message)
        except trio.WouldBlock:
            raise cell.full() from None

    def offer(self, message: Tell[A], /) -> bool:
        """Queue a message if there is room and somebody to handle it; False if not. For what may be missed."""
        cell = self._cell
        cell.sent += 1
        try:
            if cell.refuses:
                raise trio.WouldBlock
            cell.deliver(message)
        except trio.WouldBlock:
            cell.rejected += 1
            return False
        return True

    async def put(self, message: Tell[A], /, *, within: float = ASK_WITHIN_S) -> None:
        """Queue a message, waiting up to ``within`` seconds for room, and never longer than the asker in hand waits.

        Raises:
            AskTimeout: there was no room in time.
            AskCycle: the actor waits, directly or through others, for this one.
            ActorStopped: nobody will handle it.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        cell = self._cell
        cell.sent += 1
        try:
            cell.deliver(message)
        except trio.WouldBlock:
            await _wait_for_room(cell, message, within)
        else:
            await trio.lowlevel.cancel_shielded_checkpoint()  # it has been sent: a cancel must not deny it

    async def ask(self, message: Ask[A, R], /, *, within: float | None = None) -> R:
        """Ask and wait for the answer.

        Args:
            within: Seconds to wait; by default 5, and never longer than what the asker's own asker will wait.

        Raises:
            AskTimeout: no answer in time.
            AskCycle: the asked actor waits, directly or through others, for this one.
            ActorStopped, ActorRestarted, MailboxFull: it cannot answer; see each.
            Refuse: its handler refused.
        """
        asker = handling.get()
        if asker is None:
            return await self._send(
                message, self._cell.surroundings.now() + (ASK_WITHIN_S if within is None else within)
            ).outcome()  # type: ignore[no-any-return]  # the slot knows no type
        return await self.request(message, within=within)

    def request(self, message: Ask[A, R], /, *, within: float | None = None) -> Pending[R]:
        """Ask, and wait for the answer later: ``await`` what is returned. The deadline counts from now.

        Raises:
            AskCycle, ActorStopped, MailboxFull, AskTimeout: as for ``ask``; nothing was sent.
        """
        deadline = self._cell.surroundings.now() + (ASK_WITHIN_S if within is None else within)
        asker = handling.get()
        if asker is not None:
            if trio.lowlevel.current_task() is asker.task:
                refuse_cycle(asker.cell, self._cell)
            deadline = min(deadline, asker.deadline)
        return Pending(self._send(message, deadline), self._cell)

    def _send(self, message: Ask[A, Any], deadline: float) -> Asked:
        cell = self._cell
        if deadline != deadline:
            raise ValueError("an ask waits for so many seconds, not for nan")
        asked = Asked(message, deadline, cell.path)
        cell.sent += 1
        try:
            cell.deliver(asked)
        except trio.WouldBlock:
            raise cell.full() from None
        cell.surroundings.alarms.set(deadline, asked)
        return asked

    async def wait_stopped(self) -> Exit:
        """Wait until the actor has ended for good."""
        cell = self._cell
        if cell.exit is None:
            if cell.stopped is None:
                cell.stopped = trio.Event()
            await cell.stopped.wait()
        else:
            await trio.lowlevel.checkpoint()
        assert cell.exit is not None
        return cell.exit

    def when_stopped(self, hear: Callable[[Exit], None]) -> Callable[[], None]:
        """Call ``hear`` once the actor has ended for good; at once if it has. Actors use ``Context.watch``.

        Returns:
            What to call when there is no need to hear of it any more.
        """
        self._cell.watch(hear)
        return lambda: self._cell.unwatch(hear)


class PoolRef(Ref[A]):
    """A handle to all actors of a pool: each message goes to the one that its rule of routing picks."""

    __slots__ = ("_members", "_path", "_route")

    def __init__(self, path: str, members: Sequence[Cell], route: Callable[[Sequence[Cell]], Cell]) -> None:
        super().__init__(members[0])
        self._path = path
        self._members = members
        self._route = route

    @property
    def path(self) -> str:
        return self._path

    def tell(self, message: Tell[A] | Ask[A, Any], /) -> None:
        self._picked().tell(message)

    def offer(self, message: Tell[A], /) -> bool:
        return self._picked().offer(message)

    async def put(self, message: Tell[A], /, *, within: float = ASK_WITHIN_S) -> None:
        await self._picked().put(message, within=within)

    async def ask(self, message: Ask[A, R], /, *, within: float | None = None) -> R:
        return await self._picked().ask(message, within=within)

    def request(self, message: Ask[A, R], /, *, within: float | None = None) -> Pending[R]:
        return self._picked().request(message, within=within)

    async def wait_stopped(self) -> Exit:
        """Wait until all have ended for good; answers how the last one did."""
        for member in self._members:
            await Ref[A](member).wait_stopped()
        return await Ref[A](self._members[-1]).wait_stopped()

    def when_stopped(self, hear: Callable[[Exit], None]) -> Callable[[], None]:
        left = len(self._members)

        def one_less(why: Exit) -> None:
            nonlocal left
            left -= 1
            if not left:
                hear(why)

        def forget() -> None:
            for member in self._members:
                member.unwatch(one_less)

        for member in self._members:
            member.watch(one_less)
        return forget

    def _picked(self) -> Ref[A]:
        """Members that have ended for good, or are about to, are passed over as long as there are others."""
        cell = self._route(self._members)
        if cell.refuses and (others := [each for each in self._members if not each.refuses]):
            cell = self._route(others)
        return Ref(cell)


def refuse_cycle(asker: Cell, target: Cell) -> None:
    """Raise AskCycle if ``target`` waits, directly or through others, for ``asker``."""
    reached: Cell | None = target
    path = [asker.path]
    while reached is not None:
        path.append(reached.path)
        if reached is asker:
            raise AskCycle(path)
        reached = reached.waits_for


async def _wait_for_room(cell: Cell, message: Any, within: float) -> None:
    began = trio.current_time()
    deadline = began + within
    asker = handling.get()
    if deadline != deadline:
        cell.rejected += 1
        raise ValueError("a put waits for so many seconds, not for nan")
    if asker is not None:
        deadline = min(deadline, asker.deadline)
    if asker is not None and trio.lowlevel.current_task() is asker.task:
        try:
            refuse_cycle(asker.cell, cell)
        except AskCycle:
            cell.rejected += 1
            raise
        asker.cell.waits_for = cell
    else:
        asker = None
    try:
        with trio.move_on_at(deadline):
            await cell.wait_for_room(message)
            return
    finally:
        if asker is not None:
            asker.cell.waits_for = None
    raise AskTimeout(f"no room in the mailbox of {cell.path} within {max(deadline - began, 0):.3g} s")
