"""
What befalls the nodes of a night: every kind of trouble at least once, in an order and at times that the seed decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import trio

from etlplus.actors.messages import (
    BELLMAN,
    BROADCASTER,
    COMPLETER,
    CORRESPONDENT,
    CREW,
    DISPATCHER,
    HEARTBEAT,
    POOL,
    RESCUE,
    RETENTION,
    SCHEDULER,
    SCRIBE,
    runner_name,
)
from etlplus.runtime import Name, Tell

from .house import House
from .node import EXPIRY_S, Node, Process

ACTORS: tuple[Name[Any], ...] = (
    BELLMAN, BROADCASTER, COMPLETER, CORRESPONDENT, CREW, DISPATCHER, HEARTBEAT, POOL, RESCUE, RETENTION, SCHEDULER, SCRIBE,
    runner_name(0), runner_name(1),
)  # fmt: skip
LONG_OUTAGE_S = 90.0


class Poison(Tell[Any]):
    """A message that nobody handles: whoever gets it crashes."""


class Troubles:
    """See the module."""

    def __init__(self, house: House, nodes: Sequence[Node], rng: Random) -> None:
        self._house = house
        self._nodes = nodes
        self._rng = rng

    async def befall(self, rounds: int) -> None:
        """Have all of it happen, some of it at the same time; returns when it is over."""
        kinds = [
            self._crash, self._crash, self._cut_off, self._freeze, self._kill, self._drain, self._shift_clock,
            self._take_store_away, self._restart_store, self._silence, self._jump,
        ]  # fmt: skip
        async with trio.open_nursery() as nursery:
            for _ in range(rounds):
                self._rng.shuffle(kinds)
                for trouble in kinds:
                    await trio.sleep(self._rng.uniform(0.2, 3))
                    self._house.seen[trouble.__name__.strip("_").replace("_", " ")] += 1
                    nursery.start_soon(trouble)

    def _somebody(self) -> Process:
        return self._rng.choice(self._nodes).process

    async def _crash(self) -> None:
        """An actor crashes, and sometimes again and again."""
        process = self._somebody()
        victim = self._rng.choice(ACTORS)
        for _ in range(self._rng.choice([1, 1, 1, 3])):
            if process.system is not None:
                process.system.ref(victim).offer(Poison())
            await trio.sleep(self._rng.uniform(0, 0.5))

    async def _cut_off(self) -> None:
        """A node is cut off from the store, often for longer than its lease; its attempts go on."""
        process = self._somebody()
        process.cut_off = True
        await trio.sleep(self._rng.uniform(0.2, 2) * EXPIRY_S)
        process.cut_off = False

    async def _freeze(self) -> None:
        """A node is stopped past its lease, and then goes on as if nothing had been."""
        process = self._somebody()
        process.freeze()
        await trio.sleep(self._rng.uniform(0.8, 2) * EXPIRY_S)
        process.thaw()

    async def _kill(self) -> None:
        self._somebody().kill()

    async def _drain(self) -> None:
        """A worker is asked to stop, and every second time to be quick about it."""
        process = self._somebody()
        process.stop.set()
        if self._rng.random() < 0.5:
            process.hurry.set()

    async def _shift_clock(self) -> None:
        """The clock of a node goes wrong by up to twice a lease, and after a while is set right."""
        node = self._rng.choice(self._nodes)
        right_s = node.ahead_s
        node.shift_clock(self._rng.uniform(-2, 2) * EXPIRY_S)
        await trio.sleep(self._rng.uniform(1, 10))
        node.shift_clock(right_s)

    async def _jump(self) -> None:
        """The clock of the store goes wrong by up to four leases, and stays so."""
        self._house.jump(self._rng.uniform(-4, 4) * EXPIRY_S)

    async def _take_store_away(self) -> None:
        """Now and then for longer than any supervisor counts crashes."""
        self._house.away = True
        if self._rng.random() < 0.1:
            self._house.seen["long outage"] += 1
            await trio.sleep(LONG_OUTAGE_S)
        await trio.sleep(self._rng.uniform(0.5, 2 * EXPIRY_S))
        self._house.away = False

    async def _restart_store(self) -> None:
        self._house.restart()

    async def _silence(self) -> None:
        """Nobody hears that there is something to do, and all have to find out."""
        self._house.silent = True
        await trio.sleep(self._rng.uniform(1, 8))
        self._house.silent = False
