"""
The nominal times of a schedule of any kind, in order, each with its reason.

All of it is computed from what is passed in: the schedule, when its job was saved, and the moment after which to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from itertools import islice

from etlplus.jobs import cron_text, zones
from etlplus.jobs.cron import SEARCHED_YEAR
from etlplus.jobs.exclusions import ExcludedDays, Exclusions
from etlplus.jobs.periods import Periods
from etlplus.jobs.reasons import Occurrence, Reason
from etlplus.jobs.schedules import (
    CalendarSchedule,
    CronSchedule,
    IntervalSchedule,
    OnceSchedule,
    Schedule,
)
from etlplus.jobs.wall_clock import Pattern, WallClock

PREVIEW_MAX = 1000
"""So many nominal times are shown at most."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(SEARCHED_YEAR + 1, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


def occurrences(schedule: Schedule, saved_at: datetime, after: datetime) -> Iterator[Occurrence]:
    """
    Every nominal time that is due, strictly after a moment, earliest first. No moment comes twice.

    Args:
        schedule: Any kind.
        saved_at: Where counting starts for an interval or a calendar that names no start.
        after: The moment after which to look; aware.

    Limits:
        Nothing is due before 1970 or after the year 2300, so the iterator ends. A stretch of excluded days costs one step.
    """
    return _walk(schedule, saved_at, after, explain=False)


def next_occurrence(schedule: Schedule, saved_at: datetime, after: datetime) -> Occurrence | None:
    """The first nominal time strictly after a moment; None if there will be no more."""
    return next(_walk(schedule, saved_at, after, explain=False), None)


def preview(schedule: Schedule, now: datetime, n: int, *, saved_at: datetime | None = None) -> list[Occurrence]:
    """
    The next nominal times after a moment, due or not, each with its reason.

    Args:
        schedule: Any kind.
        now: The moment after which to look; aware.
        n: How many, those that are not due among them; at most ``PREVIEW_MAX``.
        saved_at: As for ``occurrences``; without it, as if the job were saved now.
    """
    return list(islice(_walk(schedule, saved_at or now, now, explain=True), min(n, PREVIEW_MAX)))


def latest(schedule: Schedule, saved_at: datetime, after: datetime, until: datetime, n: int) -> list[Occurrence]:
    """
    The last ``n`` nominal times that are due in (after, until], earliest first.

    Looks back in steps that double, so that it costs about as much for an outage of a year as for one of a minute.
    """
    found: list[Occurrence] = []
    step = _SECOND
    while len(found) < n:
        occurrence = _last(schedule, saved_at, after, until, step)
        if occurrence is None:
            break
        step = max(until - occurrence.at, _SECOND)
        until = occurrence.at - _TICK
        found.append(occurrence)
    return found[::-1]


def previous_occurrence(
    schedule: Schedule, saved_at: datetime, before: datetime, beat: timedelta | None = None
) -> Occurrence | None:
    """
    The last nominal time strictly before a moment; None if nothing was due before.

    Args:
        schedule: Any kind.
        saved_at: As for ``occurrences``.
        before: The moment before which to look; aware.
        beat: About how far back it will be; the better the guess, the quicker the answer.
    """
    step = max(beat + _TICK, _SECOND) if beat else _SECOND
    return _last(schedule, saved_at, _beginning(schedule, saved_at) - _TICK, before - _TICK, step)


def _beginning(schedule: Schedule, saved_at: datetime) -> datetime:
    """Before this moment nothing is due; so a first nominal time is known to be one without a search through the past."""
    if isinstance(schedule, OnceSchedule):
        return _EPOCH
    if isinstance(schedule, IntervalSchedule):
        return max(schedule.start_at or saved_at, _EPOCH)
    return max(schedule.start_at or _EPOCH, _EPOCH)


def _last(
    schedule: Schedule, saved_at: datetime, after: datetime, until: datetime, step: timedelta
) -> Occurrence | None:
    """The last nominal time in (after, until]."""
    low = max(after, until - step)
    found = _within(schedule, saved_at, low, until)
    while found is None and low > after:
        step *= 2
        low = max(after, until - step)
        found = _within(schedule, saved_at, low, until)
    high = until
    while found is not None and (following := _within(schedule, saved_at, found.at, high)) is not None:
        # Halve what is left: either something is due in its later half, or only the earlier half still matters.
        found = following
        middle = found.at + (high - found.at) // 2
        later = _within(schedule, saved_at, middle, high)
        if later is None:
            high = middle
        else:
            found = later
    return found


def _within(schedule: Schedule, saved_at: datetime, after: datetime, until: datetime) -> Occurrence | None:
    found = next_occurrence(schedule, saved_at, after)
    return found if found is not None and found.at <= until else None


def _walk(schedule: Schedule, saved_at: datetime, after: datetime, *, explain: bool) -> Iterator[Occurrence]:
    if isinstance(schedule, OnceSchedule):
        if schedule.at > after:
            yield Occurrence(schedule.at.astimezone(UTC), zones.zone(schedule.zone).wall(schedule.at))
        return
    after = max(after, (schedule.start_at or _EPOCH) - _TICK)
    if after.year > SEARCHED_YEAR:
        return
    if isinstance(schedule, IntervalSchedule):
        walk = _beats(schedule, saved_at, after, explain=explain)
    else:
        walk = _on_the_wall(schedule, saved_at).walk(zones.utc_of(after), explain=explain)
    end = schedule.end_at or _END
    for occurrence in walk:
        if occurrence.at > end:
            return
        yield occurrence


def _on_the_wall(schedule: CronSchedule | CalendarSchedule, saved_at: datetime) -> WallClock:
    zone = zones.zone(schedule.zone)
    pattern: Pattern
    if isinstance(schedule, CronSchedule):
        pattern = cron_text.parse(schedule.cron)
    else:
        pattern = Periods(schedule, zone.wall(schedule.start_at or saved_at).date())
    return WallClock(pattern, zone, _days(schedule.exclude), schedule.gap, schedule.repeat)


def _days(exclude: Exclusions | None) -> ExcludedDays | None:
    return ExcludedDays(exclude) if exclude else None


def _beats(schedule: IntervalSchedule, saved_at: datetime, after: datetime, *, explain: bool) -> Iterator[Occurrence]:
    """The beats of an interval. Whole microseconds: in floats, one may come out as not after itself, and come twice."""
    every = timedelta(microseconds=round(schedule.every_s * 1_000_000))
    start = (schedule.start_at or saved_at + every).astimezone(UTC)
    zone, excluded = zones.zone(schedule.zone), _days(schedule.exclude)
    at = start if after < start else start + every * ((after - start) // every + 1)
    while at.year <= SEARCHED_YEAR:
        wall = zone.wall(at)
        why = excluded.why(wall.date()) if excluded else None
        if why is None:
            yield Occurrence(at, wall)
        elif explain:
            yield Occurrence(at, wall, Reason.EXCLUDED, why)
        elif excluded:
            midnight = zone.earliest(datetime.combine(excluded.free_from(wall.date()), time()))
            at += every * max((midnight - at) // every - 1, 0)
        at += every
