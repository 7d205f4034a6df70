"""
What users write: a class with handlers, and the context through which it acts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import trio

from .cell import Cell, Exit, Own
from .messages import Tell
from .ref import Name, Ref, handling

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
        """Runs at an orderly stop, after the mailbox was handled; bounded by the child's ``shutdown``.

        Piped work goes on meanwhile, is cancelled afterwards, and cannot cut this short by a crash. Neither a crash nor a kill
        of the actor runs it; a kill ends it.
        """

    def undelivered(self, left: Sequence[Any]) -> None:
        """Gets the messages that will never be handled, in order, at the end of the last life."""

    def snapshot(self) -> object:
        """What introspection shows of the state; nothing by default."""
        return None


class Watch(Own):
    """News of the end of another actor, for the life that wanted to hear of it."""

    __slots__ = ("_down", "_forget", "_watches")

    def __init__(
        self, life: Life, other: Ref[Any], down: Callable[[Exit], Any], watches: dict[object, Timer | Watch]
    ) -> None:
        super().__init__(life, None)
        self._down = down
        self._watches = watches
        watches[self] = self
        self._forget = other.when_stopped(self._hear)

    def cancel(self) -> None:
        """Hear of it no more."""
        del self._watches[self]
        self._forget()

    def _hear(self, why: Exit) -> None:
        life: Life = self.life  # type: ignore[assignment]  # whoever makes a watch gives it a life
        del self._watches[self]
        self.message = why
        life.cell.tell_own(self)

    def taken(self) -> Any:
        return self._down(self.message)


class Timer(Own):
    """A message to oneself that is due later. A tick that is still queued when the next is due stands for both."""

    __slots__ = ("_due_at", "_every_s", "_jitter", "_queued", "_timers", "key")

    def __init__(self, life: Life, message: Any, key: object, timers: dict[object, Timer | Watch]) -> None:
        super().__init__(life, message)
        self.key = key
        self._due_at = trio.current_time()
        self._every_s: float | None = None
        self._jitter = 0.0
        self._queued = False
        self._timers = timers
        if earlier := timers.get(key):
            earlier.cancel()
        timers[key] = self

    def cancel(self) -> None:
        """No tick will be handled from now on, not even one that is queued."""
        self.pending = False
        if self._timers.get(self.key) is self:
            del self._timers[self.key]

    def once(self, seconds: float) -> None:
        """Be due so many seconds from when this timer was made."""
        self._due_at += seconds
        self._cell.surroundings.alarms.set(self._due_at, self)

    def again(self, every_s: float, jitter: float) -> None:
        """Be due again and again, each time counted from the time before.

        Raises:
            ValueError: the times would not lie apart.
        """
        if not (every_s > 0 and 0 <= jitter < 1):
            raise ValueError(
                f"ticks come more than 0 s apart, give or take a share under 1; not {every_s} s and {jitter}"
            )
        self._every_s, self._jitter = every_s, jitter
        self.once(every_s * (1 + jitter * self._cell.surroundings.rng.uniform(-1, 1)))

    def ring(self) -> None:
        """The time has come. An actor that shall stop is not kept at work by what comes again and again."""
        if not (self._queued or (self._every_s is not None and self._cell.draining)):
            self._queued = True
            self._cell.tell_own(self)
        if self._every_s is not None:
            self._due_at = trio.current_time()
            self.again(self._every_s, self._jitter)

    def taken(self) -> Any:
        self._queued = False
        if self._every_s is None:
            self.cancel()
        return self.message

    @property
    def _cell(self) -> Cell:
        life: Life = self.life  # type: ignore[assignment]  # whoever makes a timer gives it a life
        return life.cell


class Task(Own):
    """Piped work in hand. ``cancel`` ends it without a word: no message follows."""

    __slots__ = ("_ended", "_over", "scope")

    def __init__(self, life: Life) -> None:
        super().__init__(life, None)
        self.scope = trio.CancelScope()
        self._over: trio.Event | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the work is over; if so, its message has been told."""
        return self._ended

    async def wait_ended(self) -> None:
        """Wait until the work is over, however it ended; its message may still lie in the mailbox."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        if self._over is None:
            self._over = trio.Event()
        await self._over.wait()

    def end(self) -> None:
        """The work is over."""
        self._ended = True
        if self._over is not None:
            self._over.set()

    def cancel(self) -> None:
        """End the work; neither its result will be told, nor what it raises over this."""
        self.pending = False
        self.scope.cancel()


class Life(Protocol):
    """What a context needs of the life it belongs to."""

    cell: Cell
    nursery: trio.Nursery
    ends_for_good: bool

    def find(self, name: Name[Any], /) -> Ref[Any]: ...


class Context(Generic[A]):
    """An actor's only way to act on the runtime. It belongs to one life; its timers and its work end with it."""

    __slots__ = ("_timers", "life", "me")

    def __init__(self, life: Life) -> None:
        self.life = life
        self.me: Ref[A] = Ref(life.cell)
        self._timers: dict[object, Timer | Watch] = {}

    @property
    def stopping(self) -> bool:
        """Whether the actor has been told to stop: nothing new comes from others any more."""
        cell = self.life.cell
        return cell.draining or cell.status == "stopping"

    def ref(self, name: Name[B]) -> Ref[B]:
        """The actor of that name; it may be used before that actor has started.

        Raises:
            KeyError: there is no such name.
        """
        return self.life.find(name)

    def stop(self) -> None:
        """Stop this actor in order. What is queued is handled before, or by the next life if it will be started again."""
        cell = self.life.cell
        if self.life.ends_for_good:
            cell.refuse_new()
            cell.drain()
        elif not cell.draining:
            cell.halt()

    def watch(self, other: Ref[B], down: Callable[[Exit], Tell[A]]) -> None:
        """Be told once ``other`` has ended for good; at once if it has."""
        Watch(self.life, other, down, self._timers)

    def after(self, seconds: float, message: Tell[A], *, key: str | None = None) -> Timer:
        """Tell this actor something later. A second timer of the same key replaces the first, even if that one is queued."""
        timer = Timer(self.life, message, object() if key is None else key, self._timers)
        timer.once(seconds)
        return timer

    def every(self, seconds: float, message: Tell[A], *, key: str | None = None, jitter: float = 0.0) -> Timer:
        """Tell this actor something again and again, ``seconds`` apart give or take the share ``jitter``.

        Raises:
            ValueError: ``seconds`` is not above 0, or ``jitter`` not from 0 to below 1.
        """
        timer = Timer(self.life, message, object() if key is None else key, self._timers)
        timer.again(seconds, jitter)
        return timer

    def pipe(self, work: Awaitable[T], ok: Callable[[T], Tell[A]], bad: Callable[[Exception], Tell[A]]) -> Task:
        """Do long work beside the mailbox; its value or its error comes back as a message that cannot be refused."""
        task = Task(self.life)
        self.life.nursery.start_soon(self._pipe, task, work, ok, bad)
        return task

    def end(self) -> None:
        """The life is over: no timer of it rings any more, and it hears of nobody's end."""
        for each in list(self._timers.values()):
            each.cancel()

    async def _pipe(
        self, task: Task, work: Awaitable[T], ok: Callable[[T], Tell[A]], bad: Callable[[Exception], Tell[A]]
    ) -> None:
        handling.set(None)  # long work is nobody's handler: it inherits no deadline and closes no cycle
        try:
            with task.scope:
                try:
                    task.message = ok(await work)
                except Exception as error:
                    if self.life.nursery.cancel_scope.cancel_called:
                        raise  # nobody would hear the message: it is a crash instead, so that it is not lost
                    task.message = bad(error)
                if task.pending:
                    self.life.cell.tell_own(task)
        finally:
            task.end()
