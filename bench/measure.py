"""
How a figure is made: two things timed in turn, again and again, and the ratio of their best times.

Machines change their speed by tens of percent within a run, so absolute times say little; the best of many interleaved
repetitions is what the machine can do when nobody disturbs it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

REPETITIONS = 15


def best_times(*timed: Callable[[], float], repetitions: int = REPETITIONS) -> list[list[float]]:
    """The times of each, in seconds, measured in turn."""
    times: list[list[float]] = [[] for _ in timed]
    for _ in range(repetitions):
        for measure, kept in zip(timed, times, strict=True):
            kept.append(measure())
    return times


class Figures:
    """Collects figures and writes them down."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.spread: dict[str, list[float]] = {}

    def ratio(self, key: str, slower: list[float], faster: list[float]) -> None:
        """Note how many times ``faster`` goes into ``slower``: the ratio of the minima, and its spread pair by pair."""
        pairs = [a / b for a, b in zip(slower, faster, strict=True)]
        self.note(key, min(slower) / min(faster), [min(pairs), max(pairs)])

    def note(self, key: str, value: float, spread: list[float] | None = None) -> None:
        """Note and print one figure."""
        self.figures[key] = round(value, 4)
        self.spread[key] = [round(each, 4) for each in spread or [value, value]]
        sys.stdout.write(f"{key:28} {self.figures[key]:>12}   {self.spread[key]}\n")

    def write(self, path: Path) -> None:
        """Write all figures as JSON."""
        machine = {"python": platform.python_version(), "system": platform.system(), "cores": os.cpu_count()}
        document = {"figures": self.figures, "spread": self.spread, "machine": machine}
        path.write_text(json.dumps(document, indent=2) + "\n")
