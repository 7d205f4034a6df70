"""
What users write: a class with handlers, and the context through which it acts.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import trio

from etlplus.runtime.cell import STOP, Cell, Exit, Own
from etlplus.runtime.messages import HANDLES, Ask, Tell
from etlplus.runtime.ref import Name, Ref, handling

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class Actor(Generic[A]):
    """Private state and the methods that handle messages of the tag ``A``, one at a time.

    A new object is made for each restart: state that must outlive a crash is passed in by whoever makes it.
    """

    ctx: Context[A]

    async def started(self) -> None:
        """Runs before the first message; the actor counts as ready when it returns."""

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Runs at an orderly stop, after the mailbox was handled; shielded, and bounded by the child's ``shutdown``.

        Piped work goes on meanwhile and is cancelled afterwards. A crash does not run it.
        """

    def undelivered(self, left: Sequence[Any]) -> None:
        """Gets the messages that will never be handled, at the final stop."""

    def snapshot(self) -> object:
        """What introspection shows of the state; nothing by default."""
        return None


class Task:
    """Piped work in hand. ``cancel`` ends it without a word: no message follows."""

    def __init__(self) -> None:
        self._scope = trio.CancelScope()
        self.quiet = False

    def cancel(self) -> None:
        """End the work; its result will not be told."""
        self.quiet = True
        self._scope.cancel()

    def __enter__(self) -> None:
        self._scope.__enter__()

    def __exit__(self, *exc: Any) -> Any:
        return self._scope.__exit__(*exc)


class Incarnation(Protocol):
    """What a context needs of the task behind it."""

    cell: Cell
    nursery: trio.Nursery
    find: Callable[[str], Cell]


class Context(Generic[A]):
    """An actor's only way to act on the runtime. It belongs to one incarnation; its timers and its work end with it."""

    def __init__(self, incarnation: Incarnation) -> None:
        self._incarnation = incarnation
        self._timers: dict[str, Task] = {}
        self.me: Ref[A] = Ref(incarnation.cell)

    def ref(self, name: Name[B]) -> Ref[B]:
        """The actor of that name; it may be used before that actor has started.

        Raises:
            KeyError: there is no such name.
        """
        return Ref(self._incarnation.find(name.value))

    def stop(self) -> None:
        """Stop this actor in order, after what is queued."""
        self._incarnation.cell.post_system(STOP)

    def watch(self, other: Ref[B], down: Callable[[Exit], Tell[A]]) -> None:
        """Be told once ``other`` has ended for good; at once if it has."""
        other.watched_by(self._incarnation.cell, down)

    def after(self, seconds: float, message: Tell[A], *, key: str | None = None) -> Task:
        """Tell this actor something later. A second timer of the same key replaces the first."""
        return self._timer(key, self._after(seconds, message, key))

    def every(self, seconds: float, message: Tell[A], *, key: str | None = None, jitter: float = 0.0) -> Task:
        """Tell this actor something again and again, ``seconds`` apart give or take the share ``jitter``."""
        return self._timer(key, self._every(seconds, message, jitter))

    def pipe(self, work: Awaitable[T], ok: Callable[[T], Tell[A]], bad: Callable[[Exception], Tell[A]]) -> Task:
        """Do long work beside the mailbox; its value or its error comes back as a message that cannot be refused."""
        task = Task()
        self._incarnation.nursery.start_soon(self._pipe, task, work, ok, bad)
        return task

    def _timer(self, key: str | None, sleeping: Awaitable[None]) -> Task:
        task = Task()
        if key is not None:
            if earlier := self._timers.pop(key, None):
                earlier.cancel()
            self._timers[key] = task
        self._incarnation.nursery.start_soon(self._sleep, task, sleeping)
        return task

    async def _sleep(self, task: Task, sleeping: Awaitable[None]) -> None:
        with task:
            await sleeping

    async def _after(self, seconds: float, message: Tell[A], key: str | None) -> None:
        await trio.sleep(seconds)
        if key is not None:
            self._timers.pop(key, None)
        self._tell_self(message)

    async def _every(self, seconds: float, message: Tell[A], jitter: float) -> None:
        while True:
            await trio.sleep(seconds * (1 + jitter * random.uniform(-1, 1)))
            self._tell_self(message)

    async def _pipe(
        self, task: Task, work: Awaitable[T], ok: Callable[[T], Tell[A]], bad: Callable[[Exception], Tell[A]]
    ) -> None:
        handling.set(None)  # long work is nobody's handler: it inherits no deadline and closes no cycle
        with task:
            try:
                message = ok(await work)
            except Exception as error:  # noqa: BLE001 - becomes a message
                message = bad(error)
            if not task.quiet:
                self._tell_self(message)

    def _tell_self(self, message: Tell[A]) -> None:
        self._incarnation.cell.post_system(Own(self._incarnation, message))


def handlers_of(actor: Actor[Any]) -> dict[type, Callable[[Any], Any]]:
    """The bound handlers of an actor, by the exact type of message."""
    table: dict[type, Callable[[Any], Any]] = {}
    for name in dir(type(actor)):
        kind = getattr(getattr(type(actor), name, None), HANDLES, None)
        if isinstance(kind, type) and issubclass(kind, (Tell, Ask)):
            if kind in table:
                raise TypeError(f"{type(actor).__name__} has two handlers for {kind.__name__}")
            table[kind] = getattr(actor, name)
    return table
