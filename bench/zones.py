"""
Every change of every zone from 2000 to 2050, with many crons and all rules, against a walk from minute to minute.

The walk asks the zone what its clocks show at each minute around a change. Wall times that come twice, and those that never
come, are seen rather than computed, so it shares no thought with what it judges.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import takewhile
from typing import get_args

from bench.measure import Figures
from etlplus.jobs import zones
from etlplus.jobs.occurrences import occurrences
from etlplus.jobs.reasons import Occurrence
from etlplus.jobs.rules import GapRule, RepeatRule
from etlplus.jobs.schedules import CronSchedule

YEARS = range(2000, 2051)
MINUTE = timedelta(minutes=1)
AROUND = timedelta(hours=4)

CRONS: dict[str, Callable[[datetime], bool]] = {
    "0 0 * * *": lambda wall: (wall.hour, wall.minute) == (0, 0),
    "30 0 * * *": lambda wall: (wall.hour, wall.minute) == (0, 30),
    "0 1 * * *": lambda wall: (wall.hour, wall.minute) == (1, 0),
    "30 1 * * *": lambda wall: (wall.hour, wall.minute) == (1, 30),
    "0 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 0),
    "59 2 * * *": lambda wall: (wall.hour, wall.minute) == (2, 59),
    "0 3 * * *": lambda wall: (wall.hour, wall.minute) == (3, 0),
    "15,45 23,0-3 * * *": lambda wall: wall.minute in {15, 45} and wall.hour in {23, 0, 1, 2, 3},
    "*/20 * * * *": lambda wall: wall.minute % 20 == 0,
    "0 */2 * * *": lambda wall: wall.minute == 0 and wall.hour % 2 == 0,
    "30 2 * * sun": lambda wall: (wall.hour, wall.minute, wall.weekday()) == (2, 30, 6),
    "0 0 1 * *": lambda wall: (wall.day, wall.hour, wall.minute) == (1, 0, 0),
}


def measure(figures: Figures) -> None:
    """Compare everything, and count what differs; also look every hour for a change that was overlooked."""
    changes = compared = wrong = overlooked = 0
    for name in distinct():
        found = [change for year in YEARS for change in zones.zone(name).changes(year)]
        changes += len(found)
        overlooked += hourly(name) != len(found)
        for change in found:
            for good in judged(name, change):
                compared += 1
                wrong += not good
    figures.note("changes", changes)
    figures.note("zones_with_overlooked_changes", overlooked)
    figures.note("compared", compared)
    figures.note("wrong", wrong)


def distinct() -> list[str]:
    """One name for each set of rules."""
    folder = files("tzdata") / "zoneinfo"
    return sorted({folder.joinpath(*name.split("/")).read_bytes(): name for name in sorted(zones.names())}.values())


def hourly(name: str) -> int:
    """How often the offset differs from that an hour before."""
    zone = zones.zone(name)
    at, end = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (YEARS.start, YEARS.stop))
    count, before = 0, zone.offset(at)
    while at < end:
        at += timedelta(hours=1)
        offset = zone.offset(at)
        count += offset != before
        before = offset
    return count


def judged(name: str, change: zones.Change) -> Iterator[bool]:
    """For each cron and each pair of rules, whether what is due around a change is what was seen."""
    around = AROUND + abs(change.after - change.before)
    low, high = change.at - around, change.at + around
    seen: dict[datetime, list[datetime]] = {}
    for step in range(-(around // MINUTE), around // MINUTE + 1):
        at = change.at + MINUTE * step
        seen.setdefault(zones.zone(name).wall(at.replace(tzinfo=UTC)), []).append(at)
    never = [wall for wall in minutes(min(seen), max(seen)) if wall not in seen]
    for cron, fits in CRONS.items():
        for gap in get_args(GapRule):
            for repeat in get_args(RepeatRule):
                expected = due(
                    change, {wall: seen[wall] for wall in seen if fits(wall)}, any(map(fits, never)), gap, repeat
                )
                schedule = CronSchedule(cron=cron, zone=name, gap=gap, repeat=repeat)
                walk = occurrences(schedule, low.replace(tzinfo=UTC), low.replace(tzinfo=UTC))
                found = [each.at.replace(tzinfo=None) for each in takewhile(within(high), walk)]
                yield found == [at for at in expected if low < at <= high]


def within(high: datetime) -> Callable[[Occurrence], bool]:
    """Whether an occurrence is not later than a moment of naive UTC."""
    end = high.replace(tzinfo=UTC)
    return lambda each: each.at <= end


def minutes(first: datetime, last: datetime) -> Iterator[datetime]:
    """Every minute from one wall time to another."""
    while first <= last:
        yield first
        first += MINUTE


def due(
    change: zones.Change, seen: dict[datetime, list[datetime]], moved: bool, gap: GapRule, repeat: RepeatRule
) -> list[datetime]:
    """What is due, from the moments at which clocks showed the wall times of a cron."""
    wanted = {"first": slice(0, 1), "second": slice(-1, None), "both": slice(None)}[repeat]
    found = {at for moments in seen.values() for at in moments[wanted]}
    if moved and gap != "skip":
        found.add(change.at if gap == "next_valid" else change.at - timedelta(seconds=1))
    return sorted(found)
