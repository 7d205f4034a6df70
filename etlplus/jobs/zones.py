"""
Time zones: their names, and the spans of time in which a zone's offset from UTC stays the same.

The rules are those of the ``tzdata`` package, never those of the machine: nodes with the same installation agree about
every nominal time. They are read once per zone and kept. Times here are naive: ``utc`` or ``at`` in UTC, ``wall`` as a
clock on the wall of the zone shows them.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import NamedTuple
from zoneinfo import ZoneInfo

from etlplus.jobs.refusal import BadSchedule

_STRIDE = timedelta(days=3)
"""How far apart the offset is looked at. No zone keeps an offset for less than seven days between 2000 and 2050."""

_SECOND = timedelta(seconds=1)
_YEARS_MAX = 64
"""So many years of a zone are kept; then it starts anew."""


class Change(NamedTuple):
    """A zone's offset changes: from ``at`` on it is ``after``."""

    at: datetime
    before: timedelta
    after: timedelta


class Span(NamedTuple):
    """A stretch of time with one offset, [start, end), and the offsets next to it.

    Without a change nearby it ends at some New Year, with the same offset beyond.
    """

    start: datetime
    end: datetime
    before: timedelta
    offset: timedelta
    after: timedelta

    @property
    def wall_start(self) -> datetime:
        """What the clock shows as the span starts."""
        return self.start + self.offset

    @property
    def wall_end(self) -> datetime:
        """What the clock would show as the span ends, if it were not put forward or back."""
        return self.end + self.offset

    @property
    def second_until(self) -> datetime:
        """Wall times of this span before it have been there already, in the span before."""
        return self.start + max(self.before, self.offset)

    @property
    def first_from(self) -> datetime:
        """Wall times of this span from it on will be there again, in the span after."""
        return self.end + min(self.after, self.offset)

    @property
    def gap_until(self) -> datetime:
        """Wall times from ``wall_end`` up to it never are."""
        return self.end + max(self.after, self.offset)


class Zone:
    """One time zone, by its IANA name; ``zone`` finds it."""

    def __init__(self, name: str, info: ZoneInfo) -> None:
        self.name = name
        self.info = info
        self._of_year: dict[int, list[Change]] = {}
        self._around: dict[int, list[Change]] = {}

    def span(self, utc: datetime) -> Span:
        """The span that a moment belongs to."""
        changes = self._around.get(utc.year) or self._look_around(utc.year)
        index = bisect_right(changes, utc, key=_moment)
        start, end = changes[index - 1], changes[index]
        return Span(start.at, end.at, start.before, start.after, end.after)

    def offset(self, utc: datetime) -> timedelta:
        """How far the zone's clocks are ahead of UTC."""
        offset = self.info.fromutc(utc.replace(tzinfo=self.info)).utcoffset()
        assert offset is not None
        return offset

    def wall(self, at: datetime) -> datetime:
        """What the zone's clocks show at an aware moment."""
        return at.astimezone(self.info).replace(tzinfo=None)

    def earliest(self, wall: datetime) -> datetime:
        """An aware moment at which clocks show a wall time: of two the first. Where none do, it is not too late."""
        return min(wall.replace(tzinfo=self.info, fold=fold).astimezone(UTC) for fold in (0, 1))

    def changes(self, year: int) -> list[Change]:
        """Every change of a year of UTC, oldest first."""
        known = self._of_year.get(year)
        if known is None:
            known = self._find_changes(datetime(year, 1, 1), datetime(year + 1, 1, 1))  # noqa: DTZ001 - naive UTC
            self._of_year[year] = known
        return known

    def _look_around(self, year: int) -> list[Change]:
        """The changes of a year and of its neighbours, closed off by two that change nothing."""
        first, last = datetime(year - 1, 1, 1), datetime(year + 2, 1, 2)  # noqa: DTZ001 - naive UTC
        inner = [change for near in (year - 1, year, year + 1) for change in self.changes(near)]
        early, late = self.offset(first), self.offset(last)
        if len(self._around) >= _YEARS_MAX:
            self._around.clear()
            self._of_year.clear()
        # Threads may ask at once: they find the same, and none relies on what another may have cleared.
        around = self._around[year] = [Change(first, early, early), *inner, Change(last, late, late)]
        return around

    def _find_changes(self, start: datetime, end: datetime) -> list[Change]:
        found: list[Change] = []
        low, before = start, self.offset(start)
        while low < end:
            high = min(low + _STRIDE, end)
            after = self.offset(high)
            if after != before:
                found.append(Change(self._turning_point(low, high, before), before, after))
            low, before = high, after
        return found

    def _turning_point(self, low: datetime, high: datetime, before: timedelta) -> datetime:
        """The first second in (low, high] whose offset is not ``before`` any more."""
        while high - low > _SECOND:
            middle = low + (high - low) // (2 * _SECOND) * _SECOND
            if self.offset(middle) == before:
                low = middle
            else:
                high = middle
        return high


def _moment(change: Change) -> datetime:
    return change.at


@cache
def names() -> frozenset[str]:
    """Every zone name that is accepted."""
    return frozenset((files("tzdata") / "zones").read_text("ascii").split())


@cache
def _known(name: str) -> Zone:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return Zone(name, ZoneInfo.from_file(file, key=name))


def zone(name: str) -> Zone:
    """
    A zone by its name.

    Raises:
        BadSchedule: there is no such zone; the error suggests names that are close.
    """
    if name not in names():
        raise BadSchedule("zone", f"there is no time zone {name!r}", _advice(name))
    return _known(name)


def _advice(name: str) -> str:
    """What is accepted, with names that may have been meant: spelled nearly so, or with a place that is."""
    by_key = {known.lower(): known for known in sorted(names())}
    by_place = {known.rpartition("/")[2].lower(): known for known in sorted(names(), reverse=True)}
    asked = name.strip().lower().replace(" ", "_")
    close = [by_key[asked]] if asked in by_key else _close(asked, by_key) + _close(asked.rpartition("/")[2], by_place)
    meant = f"; did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?" if close else ", such as Europe/Berlin"
    return f"a name of the IANA time zone database{meant}"


def _close(asked: str, known: dict[str, str]) -> list[str]:
    return [known[key] for key in get_close_matches(asked, known, n=2, cutoff=0.8)]


def utc_of(moment: datetime) -> datetime:
    """An aware moment as naive UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)
