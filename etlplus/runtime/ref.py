"""
References: the only way to reach an actor, stable over its restarts.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import trio

from etlplus.runtime.cell import Asked, Cell, Exit
from etlplus.runtime.errors import AskCycle, AskTimeout
from etlplus.runtime.messages import Ask, Tell

A = TypeVar("A")
R = TypeVar("R")

ASK_WITHIN_S = 5.0
handling: ContextVar[tuple[Cell, float] | None] = ContextVar("handling", default=None)
"""In a handler: whose it is, and the deadline of the ask in hand (infinite for a tell)."""


@dataclass(frozen=True)
class Name(Generic[A]):
    """The name of an actor in its system; the type parameter is the tag of its messages."""

    value: str


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
        self._cell.post(message)

    async def put(self, message: Tell[A], /, *, within: float = ASK_WITHIN_S) -> None:
        """Queue a message, waiting up to ``within`` seconds for room.

        Raises:
            AskTimeout: there was none in time.
            ActorStopped: nobody will handle it.
        """
        with trio.move_on_after(within):
            await self._cell.put(message)
            return
        raise AskTimeout(f"no room in the mailbox of {self.path} within {within} s")

    async def ask(self, message: Ask[A, R], /, *, within: float | None = None) -> R:
        """Ask and wait for the answer.

        Args:
            within: Seconds to wait; by default 5, and never longer than what the asker's own asker will wait.

        Raises:
            AskTimeout: no answer in time.
            AskCycle: the asked actor waits for this one.
            ActorStopped, ActorRestarted, MailboxFull: it cannot answer; see each.
            Refuse: its handler refused.
        """
        asker = handling.get()
        deadline = trio.current_time() + (ASK_WITHIN_S if within is None else within)
        if asker is not None:
            _refuse_cycle(asker[0], self._cell)
            deadline = min(deadline, asker[1])
            asker[0].asks = self._cell
        try:
            with trio.move_on_at(deadline):
                asked = Asked(message, deadline)
                self._cell.post(asked)
                return await asked.wait()
        finally:
            if asker is not None:
                asker[0].asks = None
        raise AskTimeout(f"{self.path} did not answer {type(message).__name__} in time")

    async def wait_stopped(self) -> Exit:
        """Wait until the actor has ended for good."""
        await self._cell.stopped.wait()
        assert self._cell.exit is not None
        return self._cell.exit

    def watched_by(self, watcher: Cell, down: Any) -> None:
        """See ``Context.watch``."""
        self._cell.watch(watcher, down)


def _refuse_cycle(asker: Cell, target: Cell) -> None:
    path = [asker.path, target.path]
    reached: Cell | None = target
    while reached is not None:
        if reached is asker:
            raise AskCycle(path)
        reached = reached.asks
        if reached is not None:
            path.append(reached.path)
