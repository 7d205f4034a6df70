"""
The long proofs: stories about random trees of actors, nights of a whole staff with crashes, zombies and lost answers, and
chaos among real processes.

Each stops at the first seed that breaks a promise, and names it. ``--seeds N`` plays so many of each, from ``--first N``.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from bench.chaos.plan import FULL, plan
from bench.chaos.story import play
from bench.measure import Figures

TESTS = Path(__file__).parents[1] / "tests"
SHARE = 100
"""Seeds that a process plays before it fetches more."""


def measure_stories(figures: Figures, seeds: int = 100_000, first: int = 0) -> None:
    """Tell the stories of the actor runtime, on every core."""
    _measure(figures, "stories", tell_story, seeds, first)


def measure_nights(figures: Figures, seeds: int = 2000, first: int = 0) -> None:
    """Play the nights of the daemon's staff, on every core; all kinds of trouble must have come about."""
    seen = _measure(figures, "nights", play_night, seeds, first)
    for what, amount in sorted(seen.items()):
        figures.note(f"nights_{what.replace(' ', '_')}", amount)
    _imported("actors", "night.promises").assert_all_was_seen(seen, seeds)


def measure_chaos(figures: Figures, seeds: int = 1, first: int = 0) -> None:
    """Kill, freeze and cut off real nodes on a real PostgreSQL; each seed takes about eight minutes."""
    told: dict[str, list[float]] = {}
    for seed in range(first, first + seeds):
        made = plan(seed, FULL)
        for fault in made.faults:
            print(
                f"seed {seed}, after {fault.at_s:3.0f} s: {fault.harm}"
                + f" for {fault.lasts_s:.0f} s" * (fault.lasts_s > 0)
            )
        for key, value in play(made).items():
            told.setdefault(key, []).append(value)
    for key, values in told.items():
        figures.note(f"chaos_{key}", max(values), [min(values), max(values)])


def measure(figures: Figures, seeds: int | None = None, first: int = 0) -> None:
    """All, each with its own number of seeds unless told."""
    for each in (measure_stories, measure_nights, measure_chaos):
        each(figures, first=first, **({} if seeds is None else {"seeds": seeds}))


def tell_story(seed: int) -> Counter[str]:
    """One story about actors."""
    simulation = _imported("runtime", "actor_simulation")
    faults = simulation.faults_of(simulation.play(seed))
    assert not faults, f"seed {seed}: " + "; ".join(faults)
    return Counter()


def play_night(seed: int) -> Counter[str]:
    """One night of a staff; what came about in it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    promises, world = _imported("actors", "night.promises"), _imported("actors", "night.world").play(seed)
    promises.assert_holds(world, seed)
    return Counter({str(what): amount for what, amount in promises.seen_in(world).items()})


def _imported(room: str, module: str) -> Any:
    path = str(TESTS / room)
    if path not in sys.path:
        sys.path.insert(0, path)
    return importlib.import_module(module)


def _measure(figures: Figures, what: str, play: Callable[[int], Counter[str]], seeds: int, first: int) -> Counter[str]:
    """Play the seeds, and sum up what they saw; a broken promise raises with the seed in its message."""
    began, seen = time.perf_counter(), Counter[str]()
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for each in pool.imap(play, range(first, first + seeds), chunksize=SHARE):
            seen += each
    figures.note(f"{what}_held", seeds)
    figures.note(f"{what}_seconds", time.perf_counter() - began)
    return seen
