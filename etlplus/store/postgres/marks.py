"""
Where a claim may begin to look: for each lane, the smallest rank that can still be queued.

Behind this mark lie the index entries of runs that were claimed. While somebody holds an old snapshot open, PostgreSQL cannot
remove them, and a claim that begins in front of them walks through all of them again. The mark lowers itself to any smaller
rank that this process hears of; for what other processes do, all marks are forgotten once in ``PROBE_S``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

PROBE_S = 1.0

Mark = tuple[datetime, str]

BOTTOM: Mark = (datetime.min.replace(tzinfo=UTC), "")


class Marks:
    """The marks of one process. One claim is under way at a time; anything may be announced meanwhile."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}
        self._passed: dict[int, Mark] = {}
        self._stirred = False
        self._probed_at = datetime.min.replace(tzinfo=UTC)

    def begin(self, now: datetime) -> None:
        """A claim begins; if the last probe is long past, it looks from the bottom."""
        self._stirred, self._passed = False, {}
        if not timedelta(0) <= now - self._probed_at < timedelta(seconds=PROBE_S):
            self._probed_at = now
            self._marks.clear()

    def of(self, lane: int) -> Mark:
        """Where to begin in a lane."""
        return self._marks.get(lane, BOTTOM)

    def passed(self, marks: Mapping[int, Mark]) -> None:
        """The claim under way takes everything up to these; believed once it has ended well."""
        self._passed = dict(marks)

    def end(self) -> None:
        """The claim has taken effect. What it passed is not believed if something came in meanwhile."""
        if not self._stirred:
            self._marks.update(self._passed)

    def stir(self, lowest: datetime | None = None) -> None:
        """Something was queued, at ``lowest`` or above; without it, anywhere."""
        self._stirred = True
        if lowest is None:
            self._marks.clear()
        else:
            self._marks = {lane: min(mark, (lowest, "")) for lane, mark in self._marks.items()}
