"""
How often somebody may ask: a generic cell rate algorithm, as pure arithmetic on times that are passed in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may pass, and what the X-RateLimit headers say; times in seconds."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int
    retry_after_s: float


class RateLimit:
    """Up to ``burst`` at once, and ``per_s`` a second in the long run, for each key.

    Only keys that are not back to rest are remembered, 10,000 at most: the ones that are nearest to rest are forgotten
    first.

    Source:
        The generic cell rate algorithm of ITU-T I.371.
    """

    def __init__(self, *, burst: int, per_s: float) -> None:
        self._burst = burst
        self._step_s = 1 / per_s
        self._at_rest: OrderedDict[str, float] = OrderedDict()

    def ask(self, key: str, now_s: float) -> Verdict:
        """Count one request of ``key`` at ``now_s``."""
        at_rest = max(self._at_rest.get(key, now_s), now_s)
        after = at_rest + self._step_s
        excess_s = after - now_s - self._burst * self._step_s
        if excess_s > 1e-9:
            return Verdict(False, self._burst, 0, math.ceil(at_rest - now_s), excess_s)
        self._at_rest[key] = after
        self._at_rest.move_to_end(key)
        self._forget(now_s)
        remaining = int((self._burst * self._step_s - (after - now_s)) / self._step_s + 1e-9)
        return Verdict(True, self._burst, remaining, math.ceil(after - now_s), 0.0)

    def _forget(self, now_s: float) -> None:
        while self._at_rest:
            key, at_rest = next(iter(self._at_rest.items()))
            if at_rest > now_s and len(self._at_rest) <= REMEMBERED_MAX:
                return
            del self._at_rest[key]
