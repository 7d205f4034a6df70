"""
From wall times to moments: what becomes of a pattern where a zone's clocks are put forward or back.

Walks along the spans in which the zone's offset stays the same. Within a span wall times and moments run side by side. At
its edges some wall times never are (the gap rule says what becomes of them), and some are twice, late in one span and
early in the next (the repeat rule chooses). Moments come out in order, and no moment twice.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

from etlplus.jobs.cron import SEARCHED_YEAR
from etlplus.jobs.exclusions import ExcludedDays
from etlplus.jobs.reasons import DUE, Occurrence, Reason
from etlplus.jobs.rules import GapRule, RepeatRule
from etlplus.jobs.zones import Span, Zone

_SECOND = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
_TWO_DAYS = timedelta(days=2)


class Pattern(Protocol):
    """An endless set of wall times."""

    @property
    def every_hour(self) -> bool:
        """Whether it means elapsed time rather than times of day."""
        ...

    def first_from(self, wall: datetime) -> datetime | None:
        """The first wall time of the pattern at ``wall`` or later."""
        ...


class WallClock:
    """A pattern on the clocks of one zone.

    ``gap`` and ``repeat`` default to what suits the pattern: a time of day is kept once a day, elapsed time neither
    loses nor doubles a beat.
    """

    def __init__(
        self,
        pattern: Pattern,
        zone: Zone,
        excluded: ExcludedDays | None,
        gap: GapRule | None,
        repeat: RepeatRule | None,
    ) -> None:
        self._pattern = pattern
        self._zone = zone
        self._excluded = excluded
        self._gap = gap or ("skip" if pattern.every_hour else "next_valid")
        self._repeat = repeat or ("both" if pattern.every_hour else "first")

    def walk(self, after: datetime, *, explain: bool) -> Iterator[Occurrence]:
        """Every occurrence later than a naive moment of UTC; with ``explain`` also those that are not due, and why."""
        low = after + _TICK
        span = self._zone.span(after)
        while True:
            wall = yield from self._within(span, low, explain)
            if wall is None or wall.year > SEARCHED_YEAR:
                return
            if span.gap_until > wall >= span.wall_end:
                yield from (each for each in self._over_gap(span, wall, explain) if each.at > _aware(after))
            low = self._onward(span, low, wall)
            span = self._zone.span(low)

    def _onward(self, span: Span, low: datetime, wall: datetime) -> datetime:
        """Where to look on: the next span, or shortly before ``wall``, the next wall time that comes at all.

        What was looked at must reach back far enough to cover whatever is repeated after the span.
        """
        if span.end - low > _TWO_DAYS:
            return max(span.end, wall - span.offset - _TWO_DAYS)
        return span.end

    def _within(self, span: Span, low: datetime, explain: bool) -> Generator[Occurrence, None, datetime | None]:
        """The occurrences of one span from ``low`` on; gives the first wall time that lies beyond the span."""
        wall = self._first(low + span.offset, explain)
        end, second_until, first_from = span.wall_end, span.second_until, span.first_from
        while wall is not None and wall < end:
            reason, note = Reason.NORMAL, ""
            further = wall + _SECOND
            if wall < second_until or wall >= first_from:
                reason, note = self._twice(span, wall)
                if reason is Reason.REPEAT_SKIPPED and not explain:
                    further = second_until if wall < second_until else end
            if explain and (why := self._why_excluded(wall)):
                reason, note = Reason.EXCLUDED, why
            if explain or reason is not Reason.REPEAT_SKIPPED:
                yield Occurrence(_aware(wall - span.offset), wall, reason, note)
            wall = self._first(further, explain)
        return wall

    def _twice(self, span: Span, wall: datetime) -> tuple[Reason, str]:
        """Of a wall time that is twice, whether this time is the one."""
        if wall < span.second_until:
            note = f"clocks were put back from {span.second_until:%H:%M:%S} to {span.wall_start:%H:%M:%S}"
            return (Reason.REPEAT_SKIPPED if self._repeat == "first" else Reason.SECOND_OF_TWO), note
        note = f"clocks will be put back from {span.wall_end:%H:%M:%S} to {span.first_from:%H:%M:%S}"
        return (Reason.REPEAT_SKIPPED if self._repeat == "second" else Reason.FIRST_OF_TWO), note

    def _over_gap(self, span: Span, wall: datetime, explain: bool) -> Iterator[Occurrence]:
        """What becomes of the wall times, from ``wall`` on, that clocks are put forward over."""
        at = span.end - _SECOND if self._gap == "before" else span.end
        note = f"clocks are put forward from {span.wall_end:%H:%M:%S} to {span.gap_until:%H:%M:%S}"
        taken = self._taken(span)
        following: datetime | None = wall
        while following is not None and following < span.gap_until:
            reason = self._gap_reason(following, taken)
            taken = taken or reason in DUE
            if explain or reason in DUE:
                yield Occurrence(_aware(at), following, reason, self._why_excluded(following) or note)
            if taken and not explain:
                return
            following = self._first(following + _SECOND, explain)

    def _taken(self, span: Span) -> bool:
        """Whether something is due anyway at the moment that the gap's wall times would be moved to."""
        wall = span.wall_end - _SECOND if self._gap == "before" else span.gap_until
        return self._gap == "skip" or self._first(wall, explain=False) == wall

    def _gap_reason(self, wall: datetime, taken: bool) -> Reason:
        if self._why_excluded(wall):
            return Reason.EXCLUDED
        if self._gap == "skip":
            return Reason.GAP_SKIPPED
        if taken:
            return Reason.MERGED
        return Reason.SHIFTED_EARLIER if self._gap == "before" else Reason.SHIFTED_LATER

    def _first(self, wall: datetime, explain: bool) -> datetime | None:
        """The pattern's first wall time at ``wall`` or later; unless they are to be explained, excluded days are passed."""
        found = self._pattern.first_from(wall)
        if self._excluded is None or explain:
            return found
        while found is not None and found.year <= SEARCHED_YEAR:
            free = self._excluded.free_from(found.date())
            if free == found.date():
                break
            found = self._pattern.first_from(datetime.combine(free, time()))
        return found

    def _why_excluded(self, wall: datetime) -> str | None:
        return self._excluded.why(wall.date()) if self._excluded else None


def _aware(utc: datetime) -> datetime:
    return utc.replace(tzinfo=UTC)
