"""
A histogram: how often a figure fell under each of a few bounds, in memory that does not grow.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate


class Histogram:
    """Counts of observed values by upper bound; what lies above the last bound is counted, too.

    Args:
        bounds: Upper bounds, rising, in the unit of the values.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.sum = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def note(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[float, int]]:
        """For each bound, and for infinity, how many values were not above it."""
        return list(zip((*self.bounds, float("inf")), accumulate(self._counts), strict=True))
