"""
The runtime against the bare substrate: a Trio memory channel with ``await send`` and ``async for``.
"""

from __future__ import annotations

import time
import tracemalloc

import trio

from bench.measure import Figures, best_times
from etlplus.runtime import Actor, Ask, Mailbox, MailboxFull, Name, Supervisor, Tell, child, open_system

MESSAGES = 20_000
BURST = 100
CAPACITY = 1024


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


def measure(figures: Figures) -> None:
    """All figures of the runtime."""
    channel, tell, ask100 = best_times(channel_s, tell_s, lambda: ask_s(100))
    figures.ratio("tell_vs_channel", channel, tell)
    figures.ratio("ask100_vs_channel", channel, ask100)
    ask1, checkpoints = best_times(lambda: ask_s(1), two_checkpoints_s)
    figures.ratio("ask1_vs_two_checkpoints", ask1, checkpoints)
    figures.note("spawn_us", min(spawn_us() for _ in range(5)))
    thousand, ten_thousand = idle_bytes(1000), idle_bytes(10_000)
    figures.note("idle_actor_bytes", ten_thousand)
    figures.note("memory_growth", ten_thousand / thousand)
