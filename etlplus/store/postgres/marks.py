"""
Where a claim may begin to look: for each lane, the smallest rank that can still be queued.

Behind this mark lie the index entries of runs that were claimed. While somebody holds an old snapshot open, PostgreSQL cannot
remove them, and a claim that begins in front of them walks through all of them again. The mark lowers itself to any smaller
rank that this process hears of; for what other processes do, all marks are forgotten once in ``PROBE_S``, or less often if
looking from the bottom takes long.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

PROBE_S = 1.0
PROBE_SHARE = 0.02
"""Of the time, at most, goes into looking from the bottom."""

Mark = tuple[datetime, str]

BOTTOM: Mark = (datetime.min.replace(tzinfo=UTC), "")


class Begun(NamedTuple):
    """What a claim tells of its beginning when it has ended."""

    stirred: int
    probes: bool


class Marks:
    """The marks of one process. Claims may be under way side by side, and anything may be announced meanwhile."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}
        self._stirred = 0
        self._probed_at = datetime.min.replace(tzinfo=UTC)
        self._probe_s = PROBE_S

    def begin(self, now: datetime) -> Begun:
        """A claim begins; if the last probe is long past, it looks from the bottom."""
        probes = not timedelta(0) <= now - self._probed_at < timedelta(seconds=self._probe_s)
        if probes:
            self._probed_at = now
            self._marks.clear()
        return Begun(self._stirred, probes)

    def of(self, lane: int) -> Mark:
        """Where to begin in a lane."""
        return self._marks.get(lane, BOTTOM)

    def passed(self, marks: Mapping[int, Mark], begun: Begun, took_s: float) -> None:
        """A claim has taken everything up to these, in so long. Not believed if something came in since it had ``begun``."""
        if begun.stirred == self._stirred:
            self._marks.update(marks)
        if begun.probes:
            self._probe_s = max(PROBE_S, took_s / PROBE_SHARE)

    def stir(self, lowest: datetime | None = None) -> None:
        """Something was queued, at ``lowest`` or above; without it, anywhere."""
        self._stirred += 1
        if lowest is None:
            self._marks.clear()
        else:
            self._marks = {lane: min(mark, (lowest, "")) for lane, mark in self._marks.items()}
