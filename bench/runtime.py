"""
The runtime against the bare substrate: a Trio memory channel with ``await send`` and ``async for``; and against Pykka.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
import tracemalloc

import pykka
import trio

from bench.measure import Figures, best_times
from etlplus.runtime import (
    Actor,
    Ask,
    Backoff,
    Mailbox,
    MailboxFull,
    Name,
    Ref,
    Supervisor,
    Tell,
    child,
    open_system,
)

MESSAGES = 20_000
BURST = 100
CAPACITY = 1024
HOPS = 50_000


class Sink:
    """Address of an actor that counts."""


class One(Tell[Sink]):
    number: int


class Total(Ask[Sink, int]):
    pass


class Counter(Actor[Sink]):
    """Counts what it is told."""

    def __init__(self) -> None:
        self._total = 0

    @One.handler
    async def one(self, message: One) -> None:
        self._total += 1

    @Total.handler
    def total(self, message: Total) -> int:
        return self._total


SINK = Name[Sink]("sink")


def channel_s() -> float:
    """Seconds per message of the yardstick."""

    async def main() -> float:
        send, receive = trio.open_memory_channel[int](CAPACITY)

        async def produce() -> None:
            async with send:
                for number in range(MESSAGES):
                    await send.send(number)

        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(produce)
            async for _ in receive:
                pass
        return (time.perf_counter() - began) / MESSAGES

    return trio.run(main)


def tell_s() -> float:
    """Seconds per message told in bursts of 100."""

    async def main() -> float:
        async with open_system(Supervisor(child(SINK, Counter, mailbox=Mailbox(CAPACITY)))) as system:
            ref = system.ref(SINK)
            began = time.perf_counter()
            for _ in range(MESSAGES // BURST):
                for number in range(BURST):
                    try:
                        ref.tell(One(number))
                    except MailboxFull:
                        await ref.put(One(number))
                await trio.lowlevel.checkpoint()
            assert await ref.ask(Total()) == MESSAGES
            return (time.perf_counter() - began) / MESSAGES

    return trio.run(main)


def ask_s(askers: int) -> float:
    """Seconds per ask with deadline, by so many askers at once."""
    each = MESSAGES // 4 // askers

    async def main() -> float:
        async with open_system(Supervisor(child(SINK, Counter))) as system:
            ref = system.ref(SINK)

            async def ask() -> None:
                for _ in range(each):
                    await ref.ask(Total(), within=5)

            began = time.perf_counter()
            async with trio.open_nursery() as nursery:
                for _ in range(askers):
                    nursery.start_soon(ask)
            return (time.perf_counter() - began) / (each * askers)

    return trio.run(main)


def two_checkpoints_s() -> float:
    """Seconds for two cancel points of a lone task."""

    async def main() -> float:
        began = time.perf_counter()
        for _ in range(MESSAGES):
            await trio.lowlevel.checkpoint()
        return 2 * (time.perf_counter() - began) / MESSAGES

    return trio.run(main)


def spawn_us(actors: int = 1000) -> float:
    """Microseconds from spec to ready, for each of many children."""

    async def main() -> float:
        tree = Supervisor(*(child(Name[Sink](f"a{number}"), Counter) for number in range(actors)))
        began = time.perf_counter()
        async with open_system(tree):
            return (time.perf_counter() - began) / actors * 1e6

    return trio.run(main)


def idle_bytes(actors: int) -> float:
    """Bytes of one idle actor, among so many."""

    async def main() -> float:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        tree = Supervisor(*(child(Name[Sink](f"a{number}"), Counter) for number in range(actors)))
        async with open_system(tree):
            used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return used / actors

    return trio.run(main)


class Ring:
    """Address of one link of a ring."""


class Hop(Tell[Ring]):
    left: int


class Link(Actor[Ring]):
    """Passes a token on until its hops are used up."""

    def __init__(self, after: Name[Ring], done: trio.Event) -> None:
        self._after = after
        self._done = done

    async def started(self) -> None:
        self._next = self.ctx.ref(self._after)

    @Hop.handler
    def hop(self, message: Hop) -> None:
        if message.left:
            self._next.tell(Hop(message.left - 1))
        else:
            self._done.set()


def ring_s(links: int) -> float:
    """Seconds per hop of one token in a ring of so many actors."""

    async def main() -> float:
        done = trio.Event()
        names = [Name[Ring](f"r{number}") for number in range(links)]
        nexts = [*names[1:], names[0]]
        tree = Supervisor(
            *(child(name, lambda after=after: Link(after, done)) for name, after in zip(names, nexts, strict=True))
        )
        async with open_system(tree) as system:
            gc.collect()
            began = time.perf_counter()
            system.ref(names[0]).tell(Hop(HOPS))
            await done.wait()
            return (time.perf_counter() - began) / HOPS

    return trio.run(main)


def traced_before_s() -> tuple[float, float]:
    """Seconds per message of one actor, before a tap on it was ever opened and after it was closed again."""

    async def main() -> tuple[float, float]:
        async with open_system(Supervisor(child(SINK, Counter, mailbox=Mailbox(CAPACITY)))) as system:
            ref = system.ref(SINK)
            before = await _burst_s(ref, 0)
            with system.tap(SINK):
                await _burst_s(ref, MESSAGES // 4)
            return before, await _burst_s(ref, MESSAGES // 2)

    return trio.run(main)


async def _burst_s(ref: Ref[Sink], already: int) -> float:
    messages, burst = MESSAGES // 4, BURST // 2  # no more at once than a slice takes, so that the mailbox never fills
    began = time.perf_counter()
    for _ in range(messages // burst):
        for number in range(burst):
            ref.tell(One(number))
        await trio.lowlevel.checkpoint()
    assert await ref.ask(Total()) == already + messages
    return (time.perf_counter() - began) / messages


class Fragile(Counter):
    """Crashes over its first message, and writes down when it did and when the next life had its first."""

    def __init__(self, marks: list[float], handled: list[int]) -> None:
        super().__init__()
        self._marks = marks
        self._handled = handled

    @One.handler
    async def one(self, message: One) -> None:
        if len(self._marks) < 2:
            self._marks.append(time.perf_counter())
        if len(self._marks) == 1:
            raise ValueError("the first message")
        self._handled.append(message.number)


def restart() -> tuple[float, int]:
    """Milliseconds from a crash to the first queued message handled, with 10,000 queued; and how many of them got lost."""
    queued = 10_000

    async def main() -> tuple[float, int]:
        marks: list[float] = []
        handled: list[int] = []
        fragile = child(
            SINK, lambda: Fragile(marks, handled), mailbox=Mailbox(queued + 1), backoff=Backoff(first_s=0, jitter=0)
        )
        async with open_system(Supervisor(fragile), on_crash=lambda crash: None) as system:
            for number in range(queued + 1):
                system.ref(SINK).tell(One(number))
            await system.ref(SINK).ask(Total(), within=60)
        assert handled == sorted(handled)
        return (marks[1] - marks[0]) * 1e3, queued - len(handled)

    return trio.run(main)


def pykka_tell_s() -> float:
    """Seconds per message told to a Pykka actor (a thread of its own)."""
    counter = PykkaCounter.start()
    began = time.perf_counter()
    for number in range(MESSAGES):
        counter.tell(number)
    assert counter.ask("total") == MESSAGES
    took_s = (time.perf_counter() - began) / MESSAGES
    counter.stop()
    return took_s


def pykka_ask_s(askers: int) -> float:
    """Seconds per ask of a Pykka actor with a deadline, by so many askers at once (threads, as Pykka has it)."""
    counter = PykkaCounter.start()
    each = MESSAGES // 10 // askers

    def ask() -> None:
        for _ in range(each):
            counter.ask("total", timeout=5)

    threads = [threading.Thread(target=ask) for _ in range(askers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = (time.perf_counter() - began) / (each * askers)
    counter.stop()
    return took_s


class PykkaCounter(pykka.ThreadingActor):  # type: ignore[misc]  # its stubs are partial
    """The same counter, for Pykka."""

    def __init__(self) -> None:
        super().__init__()
        self._total = 0

    def on_receive(self, message: object) -> int:
        if message != "total":
            self._total += 1
        return self._total


def measure(figures: Figures) -> None:
    """All figures of the runtime."""
    channel, tell, ask100, told, asked = best_times(
        channel_s, tell_s, lambda: ask_s(100), pykka_tell_s, lambda: pykka_ask_s(100)
    )
    figures.ratio("tell_vs_channel", channel, tell)
    figures.ratio("ask100_vs_channel", channel, ask100)
    figures.ratio("tell_vs_pykka", told, tell)
    figures.ratio("ask_vs_pykka", asked, ask100)
    ask1, checkpoints = best_times(lambda: ask_s(1), two_checkpoints_s)
    figures.ratio("ask1_vs_two_checkpoints", ask1, checkpoints)
    figures.note("spawn_us", min(spawn_us() for _ in range(5)))
    thousand, ten_thousand = idle_bytes(1000), idle_bytes(10_000)
    figures.note("idle_actor_bytes", ten_thousand)
    figures.note("memory_growth", ten_thousand / thousand)
    large, small = best_times(lambda: ring_s(10_000), lambda: ring_s(10), repetitions=7)
    figures.ratio("ring_growth", large, small)
    pairs = [traced_before_s() for _ in range(40)]
    costs = sorted(after / before for before, after in pairs)
    figures.note("trace_off_cost", statistics.median(costs), [costs[0], costs[-1]])
    restarts = [restart() for _ in range(5)]
    figures.note("restart_10k_ms", min(took_ms for took_ms, _ in restarts))
    figures.note("restart_10k_lost", max(lost for _, lost in restarts))
