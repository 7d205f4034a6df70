"""Where clocks are changed: every zone, every change from 2000 to 2050, every rule."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from io import BytesIO
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from etlplus.jobs import zones
from etlplus.jobs.occurrences import next_occurrence, occurrences, preview
from etlplus.jobs.reasons import Reason
from etlplus.jobs.rules import GapRule, RepeatRule
from etlplus.jobs.schedules import CronSchedule
from etlplus.jobs.zones import Change

YEARS = range(2000, 2051)
EPOCH = datetime.fromisoformat("1970-01-01")  # naive: moments of UTC, as the zones room has them
HALF_DAY = timedelta(hours=12)
GAPS: tuple[GapRule, ...] = ("next_valid", "before", "skip")
REPEATS: tuple[RepeatRule, ...] = ("first", "second", "both")


@cache
def distinct_zones() -> list[str]:
    """One name for each set of rules; many names are only other names."""
    by_rules = {data_of(name): name for name in sorted(zones.names(), reverse=True)}
    return sorted(by_rules.values())


def data_of(name: str) -> bytes:
    return files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()


@cache
def info_of(name: str) -> ZoneInfo:
    """The rules in the package, not those that the machine may have: the two differ wherever one was updated alone."""
    return ZoneInfo.from_file(BytesIO(data_of(name)), key=name)


@cache
def changes_of(name: str) -> list[Change]:
    return [change for year in YEARS for change in zones.zone(name).changes(year)]


def changes_on_file(data: bytes) -> list[tuple[datetime, timedelta]]:
    """The changes of offset that a zone's file (RFC 9636) spells out, read apart from the code under test."""
    header = struct.Struct(">20x6I")
    utc_marks, wall_marks, leaps, times, types, letters = header.unpack_from(data)
    start = header.size + times * 5 + types * 6 + letters + leaps * 8 + wall_marks + utc_marks
    times, types = header.unpack_from(data, start)[3:5]
    start += header.size
    at = struct.unpack_from(f">{times}q", data, start)
    kinds = data[start + 8 * times : start + 9 * times]
    offsets = [struct.unpack_from(">i", data, start + 9 * times + 6 * kind)[0] for kind in range(types)]
    found: list[tuple[datetime, timedelta]] = []
    known: int | None = None
    for second, kind in zip(at, kinds, strict=True):
        if known is not None and offsets[kind] != known:
            found.append((EPOCH + timedelta(seconds=second), timedelta(seconds=offsets[kind])))
        known = offsets[kind]
    return [each for each in found if each[0].year in YEARS]


@pytest.mark.slow
def test_no_change_of_any_zone_is_overlooked() -> None:
    """Every change of offset that a zone's file spells out is found, to the second, and none besides."""
    spelled_out = 0
    for name in distinct_zones():
        on_file = changes_on_file(data_of(name))
        found = [(change.at, change.after) for change in changes_of(name)]
        assert found[: len(on_file)] == on_file, name
        spelled_out += len(on_file)
    assert spelled_out > 3000


def gaps() -> Iterator[tuple[str, Change]]:
    return ((name, change) for name in distinct_zones() for change in changes_of(name) if change.after > change.before)


def folds() -> Iterator[tuple[str, Change]]:
    return ((name, change) for name in distinct_zones() for change in changes_of(name) if change.after < change.before)


def daily_at(wall: datetime, name: str, **rules: str) -> CronSchedule:
    return CronSchedule(cron=f"{wall.second} {wall.minute} {wall.hour} * * *", zone=name, **rules)  # type: ignore[arg-type]


def is_next(schedule: CronSchedule, at: datetime) -> bool:
    """Whether something is due at a moment of naive UTC, seen from just before it."""
    aware = at.replace(tzinfo=UTC)
    found = next_occurrence(schedule, aware, aware - timedelta(microseconds=1))
    return found is not None and found.at == aware


def due_around(schedule: CronSchedule, at: datetime) -> list[tuple[datetime, Reason]]:
    """What is due within half a day of a moment of naive UTC."""
    low, high = (at + wait for wait in (-HALF_DAY, HALF_DAY))
    walk = occurrences(schedule, low.replace(tzinfo=UTC), low.replace(tzinfo=UTC))
    near = takewhile(lambda each: each.at <= high.replace(tzinfo=UTC), walk)
    return [(each.at.replace(tzinfo=None), each.reason) for each in near]


@pytest.mark.slow
def test_every_gap_of_every_zone_obeys_the_gap_rule() -> None:
    """A daily time in the middle of a gap is due at the change, the second before it, or not that day; never twice."""
    seen = 0
    for name, change in gaps():
        wall = change.at + (change.before + change.after) // 2
        never = wall.replace(tzinfo=info_of(name))
        assert never.astimezone(UTC).astimezone(info_of(name)).replace(tzinfo=None) != wall
        expected = {
            "next_valid": [(change.at, Reason.SHIFTED_LATER)],
            "before": [(change.at - timedelta(seconds=1), Reason.SHIFTED_EARLIER)],
            "skip": [],
        }
        for rule in GAPS:
            due = due_around(daily_at(wall, name, gap=rule), change.at)
            assert [each for each in due if each[1] is not Reason.NORMAL] == expected[rule], (name, change, rule)
            assert all(is_next(daily_at(wall, name, gap=rule), each) for each, _ in expected[rule])
        seen += 1
    assert seen > 6000


@pytest.mark.slow
def test_every_repeated_hour_of_every_zone_obeys_the_repeat_rule() -> None:
    """A daily time in the middle of a stretch that is twice is due the first time, the second, or both."""
    seen = 0
    for name, change in folds():
        wall = change.at + (change.before + change.after) // 2
        first, second = (
            wall.replace(tzinfo=info_of(name), fold=fold).astimezone(UTC).replace(tzinfo=None) for fold in (0, 1)
        )
        assert first < change.at <= second
        once, again = (first, Reason.FIRST_OF_TWO), (second, Reason.SECOND_OF_TWO)
        expected = {"first": [once], "second": [again], "both": [once, again]}
        for rule in REPEATS:
            due = due_around(daily_at(wall, name, repeat=rule), change.at)
            assert [each for each in due if each[1] is not Reason.NORMAL] == expected[rule], (name, change, rule)
            assert all(is_next(daily_at(wall, name, repeat=rule), each) for each, _ in expected[rule])
        seen += 1
    assert seen > 6000


def by_hand(cron: str, name: str, gap: str, repeat: str, low: datetime, high: datetime) -> list[datetime]:
    """What is due in (low, high], naive UTC: wall times by an independent reader of cron, placed by PEP 495."""
    found: set[datetime] = set()
    around = timedelta(hours=27)
    info = info_of(name)
    for wall in takewhile(lambda wall: wall <= high + around, CronSim(cron, low - around)):
        early, late = (wall.replace(tzinfo=info, fold=fold).astimezone(UTC).replace(tzinfo=None) for fold in (0, 1))
        if early < late:
            found |= {"first": {early}, "second": {late}, "both": {early, late}}[repeat]
        elif early == late:
            found.add(early)
        elif gap != "skip":
            change = first_moment_with(info, wall - late, late, early)
            found.add(change if gap == "next_valid" else change - timedelta(seconds=1))
    return sorted(at for at in found if low < at <= high)


def first_moment_with(info: ZoneInfo, offset: timedelta, low: datetime, high: datetime) -> datetime:
    """The moment in (low, high] at which a zone takes an offset."""
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // timedelta(seconds=2) * timedelta(seconds=1)
        if middle.replace(tzinfo=UTC).astimezone(info).utcoffset() == offset:
            high = middle
        else:
            low = middle
    return high


TIMES = ["*", "*/15", "0", "30", "59", "0,30", "7-9"]
HOURS = ["*", "*/2", "0", "1", "2", "3", "0-3", "1,2,3", "22-23", "23"]


@st.composite
def near_a_change(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone, and a moment of naive UTC up to two days away from one of its changes."""
    name = draw(st.sampled_from(distinct_zones()).filter(lambda name: bool(changes_of(name))))
    change = draw(st.sampled_from(changes_of(name)))
    return name, change.at + timedelta(minutes=draw(st.integers(-2880, 2880)))


@pytest.mark.slow
@settings(deadline=None)  # a busy machine is no mistake
@given(
    near=near_a_change(),
    minute=st.sampled_from(TIMES),
    hour=st.sampled_from(HOURS),
    day=st.sampled_from(["* * *", "1-15 * *", "* * sun", "L * *"]),
    gap=st.sampled_from(GAPS),
    repeat=st.sampled_from(REPEATS),
)
def test_any_cron_near_any_change_is_due_as_counted_by_hand(
    near: tuple[str, datetime], minute: str, hour: str, day: str, gap: GapRule, repeat: RepeatRule
) -> None:
    """Wall times found by another reader and placed one by one give the same moments, in order, none twice."""
    name, low = near
    high = low + timedelta(hours=60)
    schedule = CronSchedule(cron=f"{minute} {hour} {day}", zone=name, gap=gap, repeat=repeat)
    walk = occurrences(schedule, low.replace(tzinfo=UTC), low.replace(tzinfo=UTC))
    due = [each.at.replace(tzinfo=None) for each in takewhile(lambda each: each.at <= high.replace(tzinfo=UTC), walk)]
    assert due == by_hand(schedule.cron, name, gap, repeat, low, high)


@settings(deadline=None)  # a busy machine is no mistake
@given(near=near_a_change(), minute=st.sampled_from(TIMES), gap=st.sampled_from(GAPS), repeat=st.sampled_from(REPEATS))
def test_it_does_not_matter_where_one_starts_to_look(
    near: tuple[str, datetime], minute: str, gap: GapRule, repeat: RepeatRule
) -> None:
    """Asked just before a nominal time, that is the next one; asked at it, the one that follows."""
    name, low = near
    now = low.replace(tzinfo=UTC)
    schedule = CronSchedule(cron=f"{minute} 0-4 * * *", zone=name, gap=gap, repeat=repeat)
    for this, following in pairwise(islice(occurrences(schedule, now, now), 30)):
        assert next_occurrence(schedule, now, this.at - timedelta(microseconds=1)) == this
        assert next_occurrence(schedule, now, this.at) == following


@settings(deadline=None)  # a busy machine is no mistake
@given(near=near_a_change(), minute=st.sampled_from(TIMES), gap=st.sampled_from(GAPS), repeat=st.sampled_from(REPEATS))
def test_the_preview_shows_what_is_due_and_more(
    near: tuple[str, datetime], minute: str, gap: GapRule, repeat: RepeatRule
) -> None:
    """What the preview calls due is what occurrences give; what it shows besides is not due, in its place in order."""
    name, low = near
    now = low.replace(tzinfo=UTC)
    schedule = CronSchedule(cron=f"{minute} 0-4 * * *", zone=name, gap=gap, repeat=repeat)
    shown = preview(schedule, now, 300)
    assert [each.at for each in shown] == sorted(each.at for each in shown)
    due = [each for each in shown if each.due]
    walk = occurrences(schedule, now, now)
    assert due == [next(walk) for _ in due]


@settings(deadline=None)  # a busy machine is no mistake
@given(near=near_a_change(), minute=st.sampled_from(["0", "30", "*/15", "*"]))
def test_a_cron_that_names_no_hours_keeps_its_beat(near: tuple[str, datetime], minute: str) -> None:
    """By itself, an hourly cron or a denser one neither loses nor doubles a beat where clocks move by whole hours."""
    name, low = near
    if any((change.after - change.before) % timedelta(hours=1) for change in changes_of(name)):
        return
    walk = occurrences(
        CronSchedule(cron=f"{minute} * * * *", zone=name), low.replace(tzinfo=UTC), low.replace(tzinfo=UTC)
    )
    due = [next(walk).at for _ in range(60)]
    assert len({after - before for before, after in pairwise(due)}) == 1
