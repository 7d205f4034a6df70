"""
The actors and messages that the tests of the runtime share.

``Notebook`` writes what happens to it into a list that outlives it, and does what ``Do`` and ``Get`` tell it to do: tests read
as stories, and need no class of their own for each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio

from etlplus.runtime import Actor, Ask, Backoff, Child, Crash, DeadLetter, Exit, Name, Refuse, Tell, child


class Notes:
    """Address of an actor that notes what it hears."""


class Note(Tell[Notes]):
    text: str


class Boom(Tell[Notes]):
    """Makes it crash."""


class BoomAsk(Ask[Notes, int]):
    """Makes it crash over an ask."""


class Count(Ask[Notes, int]):
    """How many lines there are. Also a way to wait until all that was told before is handled."""


class Slow(Ask[Notes, int]):
    """Is answered after so many seconds."""

    seconds: float


class No(Ask[Notes, int]):
    """Is refused."""


class End(Tell[Notes]):
    """Makes it stop itself."""


class Down(Tell[Notes]):
    """News of a watched actor."""

    exit: Exit


class Do(Tell[Notes]):
    """Something to do, with the actor for an argument."""

    act: Callable[[Any], Any]


class Get(Ask[Notes, Any]):
    """Something to do, with the actor for an argument, whose result is the answer."""

    act: Callable[[Any], Any]


class Notebook(Actor[Notes]):
    """See the module. What it does at its hooks can be given, with the actor for an argument."""

    def __init__(
        self,
        log: list[str],
        name: str = "a",
        *,
        at_start: Callable[[Notebook], Any] | None = None,
        at_stop: Callable[[Notebook], Any] | None = None,
        at_end: Callable[[Sequence[Any]], None] | None = None,
        shows: Callable[[], object] | None = None,
    ) -> None:
        self.log = log
        self.name = name
        self._at_start, self._at_stop, self._at_end, self._shows = at_start, at_stop, at_end, shows

    async def started(self) -> None:
        await done(self._at_start and self._at_start(self))
        self.log.append(f"start {self.name}")

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        await done(self._at_stop and self._at_stop(self))
        self.log.append(f"stop {self.name}")

    def undelivered(self, left: Sequence[Any]) -> None:
        if self._at_end is not None:
            self._at_end(left)

    def snapshot(self) -> object:
        return None if self._shows is None else self._shows()

    @Note.handler
    def note(self, message: Note) -> None:
        self.log.append(message.text)

    @Boom.handler
    def boom(self, message: Boom) -> None:
        raise ValueError("boom")

    @BoomAsk.handler
    async def boom_ask(self, message: BoomAsk) -> int:
        raise ValueError("boom")

    @Count.handler
    def count(self, message: Count) -> int:
        return len(self.log)

    @Slow.handler
    async def slow(self, message: Slow) -> int:
        await trio.sleep(message.seconds)
        return 1

    @No.handler
    def no(self, message: No) -> int:
        raise Refuse("not today")

    @End.handler
    def end(self, message: End) -> None:
        self.ctx.stop()

    @Down.handler
    def down(self, message: Down) -> None:
        self.log.append(f"down {message.exit.reason}")

    @Do.handler
    async def do(self, message: Do) -> None:
        await done(message.act(self))

    @Get.handler
    async def get(self, message: Get) -> Any:
        return await done(message.act(self))


async def done(result: Any) -> Any:
    """The value of something that may be sync or async."""
    return await result if isinstance(result, Awaitable) else result


A, B, C = Name[Notes]("a"), Name[Notes]("b"), Name[Notes]("c")
AT_ONCE = Backoff(first_s=0, jitter=0)

HOOKS = ("at_start", "at_stop", "at_end", "shows")


def notebook(name: Name[Notes], log: list[str], **options: Any) -> Child[Notes]:
    """A notebook as a child that is restarted at once; options are those of the actor and those of the child."""
    hooks = {each: options.pop(each) for each in HOOKS if each in options}
    return child(name, lambda: Notebook(log, name.value, **hooks), **{"backoff": AT_ONCE, **options})


def quiet(crash: Crash) -> None:
    """Crashes are expected here."""


def unread(letter: DeadLetter) -> None:
    """Dead letters are expected here."""


def fail(error: BaseException) -> Callable[..., Any]:
    """Something to do: raise this."""

    def act(*_: Any) -> Any:
        raise error

    return act


async def ignore_cancels_until(event: trio.Event) -> None:
    """What no actor should do."""
    with trio.CancelScope(shield=True):
        await event.wait()


def nap(seconds: float) -> Callable[[Any], Awaitable[None]]:
    """Something to do: nothing, for so long."""

    async def act(_: Any) -> None:
        await trio.sleep(seconds)

    return act
