"""
The test kit of the runtime: virtual time, probes, seeded faults, and whole systems that are replayed from a seed.

Nothing here sleeps in real time. ``open_kit`` runs a tree like ``open_system`` does, and tells at its end of everything that
went unnoticed: crashes, dead letters, messages that are unaccounted for. ``simulate`` runs a whole Trio program so that the
same seed gives the same story, in every process, under every hash seed, on every Python.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from random import Random
from typing import Any, Generic, TypeVar

import msgspec
import trio
import trio.testing

from .asked import Asked
from .awaiting import finish
from .cell import Cell, Exit, Handler, Latest, Own, Surroundings
from .dead_letters import DeadLetter
from .directory import Directory
from .node import Crash
from .ref import Name, Ref
from .specs import Mailbox, Spawn, Supervisor
from .system import System, running

A = TypeVar("A")
M = TypeVar("M")
T = TypeVar("T")


@contextmanager
def deterministic(seed: int) -> Generator[None]:
    """Have Trio make its choices from ``seed``. The one place that touches Trio's private switch for that."""
    core: Any = trio._core._run  # pyright: ignore[reportPrivateUsage] - there is no public one; a canary test watches it
    allowed, state = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r.getstate()
    core._ALLOW_DETERMINISTIC_SCHEDULING = True
    core._r.seed(seed)
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        core._r.setstate(state)


def simulate(main: Callable[[Random], Awaitable[T]], seed: int) -> T:
    """
    Run a Trio program under virtual time so that the same seed gives the same story.

    Args:
        main: Gets a source of randomness made from the seed; it must take all its chances from there.
        seed: Names the story.

    Limits: no sockets, threads or processes inside, for these keep their own time.
    """
    with deterministic(seed):
        return trio.run(main, Random(seed), clock=trio.testing.MockClock(autojump_threshold=0))


class Probe(Generic[A]):
    """Stands in for an actor under its name, and keeps what it is sent until the test asks for it."""

    def __init__(self, cell: Cell) -> None:
        self.ref: Ref[A] = Ref(cell)
        self._cell = cell
        self._asked: Asked | None = None

    async def expect(self, kind: type[M], *, within: float = 1.0) -> M:
        """The next message, which must be of this type and come within so many virtual seconds.

        Raises:
            AssertionError: another message came, or none.
        """
        with trio.move_on_after(within):
            item = await self._cell.receive.receive()
            self._asked = item if isinstance(item, Asked) else None
            self._cell.handled += 1
            message = item.message if isinstance(item, Asked) else item
            assert isinstance(message, kind), f"{self._cell.path} expected {kind.__name__}, and got {message!r}"
            return message
        raise AssertionError(f"{self._cell.path} expected {kind.__name__} within {within} s, and got nothing")

    async def expect_nothing(self, *, during: float) -> None:
        """Nothing comes in so many virtual seconds; exact, since time is virtual.

        Raises:
            AssertionError: something came.
        """
        with trio.move_on_after(during):
            item = await self._cell.receive.receive()
            self._cell.handled += 1
            raise AssertionError(f"{self._cell.path} expected nothing during {during} s, and got {item!r}")

    def reply(self, value: Any) -> None:
        """Answer the ask that was expected last."""
        self._last_ask().answer(value)

    def fail(self, error: BaseException) -> None:
        """End the ask that was expected last with an error."""
        self._last_ask().fail(error)

    def _last_ask(self) -> Asked:
        assert self._asked is not None, f"{self._cell.path} was not asked; reply after expecting an ask"
        return self._asked


class Kit:
    """A system under test. Made by ``open_kit``.

    Attributes:
        system: The running tree.
        crashes: Every crash so far; take out what is expected, since what is left at the end fails the test.
        trace: What was handled, in order: time, path, type of message.
    """

    system: System

    def __init__(self, seed: int, *, strict: bool) -> None:
        self.rng = Random(seed)
        self.crashes: list[Crash] = []
        self.trace: list[str] = []
        self._strict = strict
        self._probes: dict[str, Probe[Any]] = {}

    @property
    def dead_letters(self) -> deque[DeadLetter]:
        """Every message that nobody handled; take out what is expected, as with crashes."""
        return self.system.dead_letters

    def ref(self, name: Name[A]) -> Ref[A]:
        """The actor or the probe of that name."""
        return self.system.ref(name)

    def probe(self, name: Name[A]) -> Probe[A]:
        """The probe of that name."""
        return self._probes[name.value]

    async def settle(self) -> None:
        """Wait until nothing more happens unless time passes."""
        await trio.testing.wait_all_tasks_blocked()

    async def advance(self, seconds: float) -> None:
        """Let so much virtual time pass, and everything happen that is due in it."""
        await trio.sleep(seconds)
        await self.settle()

    def crash(self, name: Name[Any], error: Exception) -> None:
        """The next message to this actor makes it crash."""

        def act(message: Any) -> None:
            raise error

        self._once(name, act)

    def stall(self, name: Name[Any], seconds: float) -> None:
        """The next message to this actor is handled so many seconds late."""

        async def act(message: Any) -> None:
            await trio.sleep(seconds)

        self._once(name, act)

    def drop(self, name: Name[Any], kind: type, *, share: float = 1.0) -> None:
        """Of the messages of this type to this actor, drop so large a share, by the seed."""
        cell = self.system.directory.cell(name)
        deliver = cell.deliver

        def deliver_or_drop(item: Any) -> None:
            if isinstance(_message(item), kind) and self.rng.random() < share:
                cell.drop(item)
            else:
                deliver(item)

        cell.deliver = deliver_or_drop

    def digest(self) -> str:
        """A fingerprint of the trace."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()

    def meet(self, cell: Cell) -> None:
        """Prepare a new identity: trace it, and have its messages encoded in strict mode."""

        def traced(handler: Handler) -> Handler:
            def handle(message: Any) -> Any:
                self.trace.append(f"{trio.current_time():.6f} {cell.path} {type(message).__name__}")
                return handler(message)

            return handle

        cell.wrap((traced,))
        if self._strict:
            cell.deliver = _strictly(cell)

    def serve(self, names: Sequence[Name[Any]], directory: Directory) -> None:
        """Make a probe for each of these names."""
        for name in names:
            self._probes[name.value] = Probe[Any](directory.add(name, f"probe/{name.value}", Mailbox()))

    def close(self) -> None:
        """End the probes: whoever still waits for one hears that it has stopped."""
        for name in self._probes:
            self.system.directory.cell(Name(name)).close(Exit("stopped"))

    def assert_nothing_went_unnoticed(self) -> None:
        """What the end of ``open_kit`` looks at.

        Raises:
            AssertionError: there were crashes or dead letters that the test did not take out, or messages got lost.
        """
        told = [f"{crash.path} crashed: {crash.error!r}" for crash in self.crashes]
        told += [f"{each.path} did not handle {each.message!r}: {each.why}" for each in self.dead_letters]
        if lost := self.system.statistics().unaccounted:
            told.append(f"{lost} messages are unaccounted for")
        assert not told, "\n".join(["unnoticed until the end:", *told])

    def _once(self, name: Name[Any], act: Callable[[Any], Any]) -> None:
        cell = self.system.directory.cell(name)

        def fault(handler: Handler) -> Handler:
            async def handle(message: Any) -> Any:
                cell.unwrap(fault)
                await finish(act(message))
                return await finish(handler(message))

            return handle

        cell.wrap((*cell.wrappers, fault))


@asynccontextmanager
async def open_kit(
    tree: Supervisor,
    *,
    probes: Sequence[Name[Any]] = (),
    seed: int = 0,
    strict: bool = True,
    drain: float = 30.0,
) -> AsyncGenerator[Kit]:
    """
    Run a tree under test.

    Args:
        tree: The actors, as for ``open_system``.
        probes: Names for which a probe stands in.
        seed: Seed of jitter and faults.
        strict: Encode and decode every message, so that one which could not leave the process fails at once.
        drain: Seconds for the orderly stop.

    Raises:
        AssertionError: at the end, for everything that went unnoticed; see ``Kit``.
        RuntimeError: the clock is not a virtual one.
    """
    if not isinstance(trio.lowlevel.current_clock(), trio.testing.MockClock):
        raise RuntimeError("the kit needs virtual time: the fixture autojump_clock, or simulate()")
    kit = Kit(seed, strict=strict)
    surroundings = Surroundings(lambda letter: None, Random(seed))
    directory = Directory(surroundings, kit.crashes.append, kit.meet)
    kit.serve(probes, directory)
    try:
        async with running(System(tree, "", drain, directory)) as kit.system:
            yield kit
            await kit.settle()
    finally:
        kit.close()
    kit.assert_nothing_went_unnoticed()


def _message(item: Any) -> Any:
    if isinstance(item, Latest):
        return _message(item.item)
    return item.message if isinstance(item, (Asked, Own)) else item


def _strictly(cell: Cell) -> Callable[[Any], None]:
    deliver = cell.deliver

    def encode_and_deliver(item: Any) -> None:
        message = _message(item)
        if not isinstance(message, Spawn):
            try:
                _encode(message)
            except BaseException:
                cell.rejected += 1
                raise
        deliver(item)

    return encode_and_deliver


def _encode(message: Any) -> None:
    kind: type[Any] = message.__class__
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=kind)
    if again != message:
        raise TypeError(f"{message!r} comes back as {again!r} when it is encoded")
