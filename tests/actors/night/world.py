"""
One night, from its seed: three nodes, people, and troubles; then a calm morning, in which all must come to its end.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from random import Random

import trio

from etlplus.jobs.letters import DeadLetter
from etlplus.jobs.model import Run, RunEvent
from etlplus.jobs.ticks import Tick
from etlplus.runtime import Crash
from etlplus.runtime.testing import deterministic

from .house import House, open_house
from .node import Destination, Node
from .people import People
from .times import JumpingClock
from .troubles import Troubles

NODES = 3
BEATS = 6
"""A job is due so many times, in each round."""
LONGEST_S = 3600.0
"""Whoever is not done by then never will be."""
LARGE_EVERY = 50
"""Every so many nights is a long one."""
CROWD_EVERY = 8
"""In every so many nights all people want the same."""


class World:
    """See the module.

    Attributes:
        crashes: Of all actors of all nodes.
        unaccounted: Messages that the runtime of some process lost track of.
        left_behind: What is still held though nobody is at work any more.
    """

    def __init__(self, house: House, rng: Random, rounds: int = 1, *, crowd: bool = False) -> None:
        self.house = house
        self.rng = rng
        self.rounds = rounds
        self.crowd = crowd
        self.destination = Destination()
        self.crashes: list[Crash] = []
        self.unaccounted = self.stale_results = 0
        self.runs: list[Run] = []
        self.events: list[RunEvent] = []
        self.ticks: list[Tick] = []
        self.letters: list[DeadLetter] = []
        self.left_behind: dict[str, int] = {}

    @property
    def beats(self) -> int:
        """How many nominal times there are."""
        return BEATS * self.rounds

    async def play(self) -> None:
        """Let it happen until no run is unfinished."""
        nodes = [Node(self, number) for number in range(NODES)]
        troubles = Troubles(self.house, nodes, self.rng)
        self.people = People(self.house, self.rng, crowd=self.crowd)
        self.house.tells_time = self.rng.random() < 0.75
        await self.people.settle_in(self.beats)
        with trio.fail_after(LONGEST_S):
            async with trio.open_nursery() as nursery:
                for node in nodes:
                    nursery.start_soon(node.keep_running)
                async with trio.open_nursery() as evening:
                    evening.start_soon(troubles.befall, self.rounds)
                    evening.start_soon(self.people.be_busy, self.rounds)
                await self._see_the_morning()
                for node in nodes:
                    node.end()
        await self._take_stock()

    async def _see_the_morning(self) -> None:
        self.house.calm = True
        await self.people.wait_done()
        await self.people.look_after_letters()
        await self.people.wait_done()

    async def _take_stock(self) -> None:
        store = self.house.store
        self.runs = await store.runs(limit=1000)
        self.ticks = await store.ticks(self.people.timed.id, limit=1000)
        self.letters = await store.dead_letters(limit=1000) + await store.dead_letters(resolved=True, limit=1000)
        self.stale_results = (await store.counts()).stale_results
        self.left_behind = self.house.left_behind()
        for run in self.runs:
            self.events += await store.events(run.id)

    def trace(self) -> str:
        """A fingerprint of everything that happened to every run, and when."""
        lines = [f"{event.run_id} {event.version} {event.at} {event.kind} {event.attempt}" for event in self.events]
        lines += [f"{tick.nominal_at} {tick.outcome} {tick.count} {tick.decided_at}" for tick in self.ticks]
        lines += [f"{crash.path} {crash.life} {crash.message_type}" for crash in self.crashes]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def garbage_at_the_end() -> Generator[None]:
    """Collect the garbage of a night once: looking for it again and again would be a fifth of the work."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(1)
        if was_on:
            gc.enable()


def play(seed: int) -> World:
    """Play one seed to its end, with Trio's own choices seeded too."""
    rng = Random(seed)
    with deterministic(seed), garbage_at_the_end(), open_house(Random(rng.random())) as house:
        rounds = 4 if seed % LARGE_EVERY == LARGE_EVERY - 1 else 1
        world = World(house, rng, rounds, crowd=seed % CROWD_EVERY == CROWD_EVERY - 1)
        try:
            trio.run(world.play, clock=JumpingClock())
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
    return world
