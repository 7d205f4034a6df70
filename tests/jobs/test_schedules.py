"""Schedules of every kind: what their options accept, what they say, and when they are due."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from etlplus.jobs.exclusions import DateRange, Exclusions, Weekday
from etlplus.jobs.model import JobDraft
from etlplus.jobs.occurrences import PREVIEW_MAX, latest, next_occurrence, occurrences, preview
from etlplus.jobs.reasons import MEANING, Reason
from etlplus.jobs.refusal import BadSchedule
from etlplus.jobs.schedules import (
    CalendarSchedule,
    CronSchedule,
    IntervalSchedule,
    OnceSchedule,
    Schedule,
    describe,
)
from etlplus.jobs.zones import names

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)  # a Monday
KINDS = get_args(Schedule)


def due(schedule: Schedule, n: int, after: datetime = NOW, saved_at: datetime = NOW) -> list[str]:
    return [f"{each.at:%Y-%m-%d %H:%M}" for each in islice(occurrences(schedule, saved_at, after), n)]


def decoded(**options: Any) -> Schedule:
    document = {"name": "job", "pipeline": {}, "schedule": options}
    schedule = msgspec.convert(document, JobDraft).schedule
    assert schedule is not None
    return schedule


def published(struct: type) -> dict[str, dict[str, Any]]:
    return msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]


@pytest.mark.parametrize("struct", [*KINDS, Exclusions, DateRange])
def test_every_option_is_published_with_a_sentence(struct: type) -> None:
    """The schema says of each option what it means."""
    options = {name: option for name, option in published(struct).items() if name != "kind"}
    assert [name for name, option in options.items() if not option.get("description", "").endswith(".")] == []


@pytest.mark.parametrize("struct", KINDS)
def test_the_page_names_every_option_with_its_sentence(struct: type) -> None:
    """The table in the docs is what the schema publishes."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
    for name, option in published(struct).items():
        if name != "kind":
            assert f"| `{name}` | {option['description']} |" in page


def test_a_schedule_without_parameters_says_nothing_of_them() -> None:
    """Nodes of an earlier version read it as ever; with some, they set it aside, since their runs would lack them."""
    assert b"params" not in msgspec.json.encode(decoded(kind="interval", every_s=60))
    assert decoded(kind="interval", every_s=60).given == {}
    assert decoded(kind="interval", every_s=60, params={"n": 1}).given == {"n": 1}


def test_the_documents_on_the_page_are_schedules() -> None:
    """What the page shows as part of a job's document is accepted there."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
    documents = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert documents
    for document in documents:
        assert decoded(**yaml.safe_load(document)["schedule"])


def test_the_page_names_every_reason() -> None:
    """The reasons that a preview gives are explained where schedules are."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
    assert MEANING.keys() == set(Reason)
    assert [reason for reason in Reason if f"| `{reason}` | {MEANING[reason]} |" not in page] == []


@pytest.mark.parametrize(
    "schedule",
    [
        CronSchedule(cron="0 2 * * *", zone="Europe/Berlin", gap="before", exclude=Exclusions(weekdays=("sunday",))),
        IntervalSchedule(every_s=1.5, start_at=NOW, end_at=NOW),
        CalendarSchedule(unit="week", at="02:30", weekdays=("monday", "friday"), every=2),
        OnceSchedule(at=NOW),
    ],
)
def test_a_schedule_survives_its_document(schedule: Schedule) -> None:
    """Written and read again, it is the same; and it can be told in a few words."""
    assert msgspec.json.decode(msgspec.json.encode(schedule), type=Schedule) == schedule
    assert describe(schedule)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "cron", "cron": "0 0 31 2 *"}, "cron: field 3 (day of month), character 5"),
        ({"kind": "cron", "cron": "@daily", "zone": "Europe/Berln"}, "did you mean Europe/Berlin"),
        ({"kind": "cron", "cron": "@daily", "zone": "berlin"}, "did you mean Europe/Berlin"),
        ({"kind": "cron", "cron": "@daily", "zone": "New York"}, "did you mean America/New_York"),
        ({"kind": "cron", "cron": "@daily", "zone": "europe/berlin"}, "did you mean Europe/Berlin?"),
        ({"kind": "cron", "cron": "@daily", "zone": "../../etc/passwd"}, "such as Europe/Berlin"),
        ({"kind": "cron", "cron": "@daily", "gap": "never"}, "`$.schedule.gap`"),
        ({"kind": "cron", "cron": "@daily", "catch_up_max": 0}, "`$.schedule.catch_up_max`"),
        ({"kind": "cron", "cron": "@daily", "jitter_s": -1}, "`$.schedule.jitter_s`"),
        ({"kind": "cron", "cron": "@daily", "every_s": 60}, "unknown field `every_s`"),
        ({"kind": "chron", "cron": "@daily"}, "`$.schedule.kind`"),
        ({"kind": "interval", "every_s": -5}, "`$.schedule.every_s`"),
        ({"kind": "interval", "every_s": 5, "start_at": "2026-01-01T00:00:00"}, "`$.schedule.start_at`"),
        ({"kind": "interval", "every_s": 5, "start_at": "0001-01-01T00:00:00Z"}, "accepted: a year from 1970 to 2199"),
        (
            {"kind": "interval", "every_s": 5, "start_at": "2026-01-02T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"},
            "is before start_at",
        ),
        ({"kind": "calendar", "unit": "day", "at": "25:00"}, "accepted: HH:MM or HH:MM:SS"),
        ({"kind": "calendar", "unit": "day", "at": "02:00", "day": 3}, "accepted: unit month"),
        ({"kind": "calendar", "unit": "month", "at": "02:00", "weekdays": ["monday"]}, "accepted: unit week"),
        ({"kind": "calendar", "unit": "year", "at": "02:00"}, "`$.schedule.unit`"),
        ({"kind": "once", "at": "9999-01-01T00:00:00Z"}, "accepted: a year from 1970 to 2199"),
        (
            {
                "kind": "cron",
                "cron": "@daily",
                "exclude": {"ranges": [{"first_on": "2026-02-01", "last_on": "2026-01-01"}]},
            },
            "last_on: 2026-01-01 is before first_on",
        ),
        ({"kind": "cron", "cron": "@daily", "exclude": {"weekdays": list(get_args(Weekday))}}, "`$.schedule.exclude"),
        (
            {"kind": "cron", "cron": "0 0 * * sat", "exclude": {"weekdays": ["saturday"]}},
            "exclude: every day that it could be due is excluded",
        ),
    ],
)
def test_an_impossible_schedule_is_refused_while_it_is_decoded(options: dict[str, Any], said: str) -> None:
    """The error names the option and what would be accepted."""
    with pytest.raises(msgspec.ValidationError) as caught:
        decoded(**options)
    assert said in str(caught.value)


def test_every_zone_is_known() -> None:
    """Each name of the IANA database can be used."""
    assert len(names()) > 500
    for name in names():
        assert next_occurrence(CronSchedule(cron="0 2 * * *", zone=name), NOW, NOW) is not None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"unit": "day", "at": "02:30"}, ["2026-05-05 02:30", "2026-05-06 02:30"]),
        ({"unit": "day", "at": "23:00", "every": 3}, ["2026-05-04 23:00", "2026-05-07 23:00"]),
        ({"unit": "week", "at": "02:30"}, ["2026-05-11 02:30", "2026-05-18 02:30"]),
        (
            {"unit": "week", "at": "02:30", "every": 2, "weekdays": ("tuesday", "monday")},
            ["2026-05-05 02:30", "2026-05-18 02:30", "2026-05-19 02:30", "2026-06-01 02:30"],
        ),
        ({"unit": "month", "at": "02:30", "day": 31}, ["2026-05-31 02:30", "2026-06-30 02:30", "2026-07-31 02:30"]),
        ({"unit": "month", "at": "02:30", "every": 9, "day": 31}, ["2026-05-31 02:30", "2027-02-28 02:30"]),
        ({"unit": "month", "at": "02:30:15", "every": 12}, ["2027-05-04 02:30", "2028-05-04 02:30"]),
        ({"unit": "day", "at": "02:30", "zone": "Asia/Tokyo"}, ["2026-05-04 17:30", "2026-05-05 17:30"]),
    ],
)
def test_a_calendar_counts_from_the_day_it_was_saved(options: dict[str, Any], expected: list[str]) -> None:
    """Every n days, weeks or months, at one time of day; a day that a month lacks is its last."""
    assert due(CalendarSchedule(**options), len(expected)) == expected


@settings(deadline=None)  # a busy machine is no mistake
@given(
    every=st.integers(1, 40),
    unit=st.sampled_from(["day", "week", "month"]),
    day=st.integers(1, 31),
    weekdays=st.sets(st.sampled_from(get_args(Weekday)), min_size=1),
    anchor=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    after=st.integers(0, 2000),
)
def test_a_calendar_is_due_as_counted_by_hand(
    every: int, unit: Any, day: int, weekdays: set[Any], anchor: date, after: int
) -> None:
    """Day after day looked at by itself, those that fit are those that are due."""
    extra: dict[str, Any] = {"day": {}, "week": {"weekdays": tuple(weekdays)}, "month": {"day": day}}[unit]
    start = datetime(anchor.year, anchor.month, anchor.day, tzinfo=UTC)
    schedule = CalendarSchedule(every=every, unit=unit, at="12:00", start_at=start, **extra)

    def fits(this: date) -> bool:
        match unit:
            case "day":
                return (this - anchor).days % every == 0
            case "week":
                monday, first = (each - timedelta(days=each.weekday()) for each in (this, anchor))
                return get_args(Weekday)[this.weekday()] in weekdays and (monday - first).days // 7 % every == 0
            case _:
                last = (this.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
                months = (this.year - anchor.year) * 12 + this.month - anchor.month
                return this.day == min(day, last.day) and months % every == 0

    days = (anchor + timedelta(days=number) for number in range(after, after + 1300))
    expected = [this for this in days if fits(this)]
    walk = occurrences(schedule, NOW, start + timedelta(days=after))
    until = (start + timedelta(days=after + 1300)).date()
    assert [each.wall.date() for each in takewhile(lambda each: each.wall.date() < until, walk)] == expected


def test_once_is_once() -> None:
    """It is due at its moment and never again."""
    schedule = OnceSchedule(at=NOW)
    assert due(schedule, 5, NOW - timedelta(days=1)) == ["2026-05-04 03:02"]
    assert due(schedule, 5, NOW) == []


def test_nothing_is_due_outside_the_bounds() -> None:
    """Both bounds are included."""
    cron = CronSchedule(
        cron="0 0 * * *", start_at=datetime(2026, 6, 1, tzinfo=UTC), end_at=datetime(2026, 6, 3, tzinfo=UTC)
    )
    assert due(cron, 9) == ["2026-06-01 00:00", "2026-06-02 00:00", "2026-06-03 00:00"]
    interval = IntervalSchedule(every_s=86400, start_at=NOW, end_at=NOW + timedelta(days=1))
    assert due(interval, 9, NOW - timedelta(days=9)) == ["2026-05-04 03:02", "2026-05-05 03:02"]


EXCLUDE = Exclusions(
    weekdays=("saturday", "sunday"),
    dates=(date(2026, 5, 14),),
    ranges=(DateRange(date(2026, 5, 18), date(2026, 5, 31)), DateRange(date(2026, 6, 2), date(2199, 1, 1))),
)


@pytest.mark.parametrize(
    "schedule",
    [
        CronSchedule(cron="0 23 * * *", zone="America/New_York", exclude=EXCLUDE),
        CalendarSchedule(unit="day", at="23:00", zone="America/New_York", exclude=EXCLUDE),
        IntervalSchedule(
            every_s=86400, start_at=datetime(2026, 5, 1, 3, tzinfo=UTC), zone="America/New_York", exclude=EXCLUDE
        ),
    ],
)
def test_excluded_days_are_days_of_the_zone(schedule: Schedule) -> None:
    """Neither weekdays nor dates nor ranges that are excluded are due, in the schedule's own days; the preview says why."""
    days = [4, 5, 6, 7, 8, 11, 12, 13, 15]
    walls = [each.wall for each in islice(occurrences(schedule, NOW, datetime(2026, 5, 4, 12, tzinfo=UTC)), 10)]
    assert [wall.date() for wall in walls] == [*(date(2026, 5, day) for day in days), date(2026, 6, 1)]
    shown = {each.wall.date().isoformat(): each for each in preview(schedule, datetime(2026, 5, 4, 12, tzinfo=UTC), 20)}
    assert {name: each.note for name, each in shown.items() if not each.due and name < "2026-05-20"} == {
        "2026-05-09": "saturdays are excluded",
        "2026-05-10": "sundays are excluded",
        "2026-05-14": "2026-05-14 is excluded",
        "2026-05-16": "saturdays are excluded",
        "2026-05-17": "sundays are excluded",
        "2026-05-18": "2026-05-18 to 2026-05-31 is excluded",
        "2026-05-19": "2026-05-18 to 2026-05-31 is excluded",
    }


@pytest.mark.parametrize("every_s", [1.0, 7.5, 86400.0])
def test_an_interval_keeps_its_beat_over_excluded_days(every_s: float) -> None:
    """What is due is the beats on the days that are left, found without counting through the others."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    exclude = Exclusions(ranges=(DateRange(date(2026, 1, 2), date(2036, 1, 1)),))
    found = next_occurrence(IntervalSchedule(every_s=every_s, start_at=start, exclude=exclude), NOW, NOW)
    assert found is not None
    assert found.at - timedelta(seconds=every_s) < datetime(2036, 1, 2, tzinfo=UTC) <= found.at
    assert (found.at - start) % timedelta(seconds=every_s) == timedelta(0)


def test_a_preview_is_limited() -> None:
    """However many are asked for, no more than a thousand are shown."""
    assert len(preview(IntervalSchedule(every_s=60), NOW, 10**9)) == PREVIEW_MAX


SCHEDULES = st.sampled_from(
    [
        CronSchedule(cron="0 2 * * *", zone="Europe/Berlin"),
        CronSchedule(cron="*/7 8-9 * * mon-fri", zone="Europe/Berlin", repeat="both"),
        CronSchedule(cron="* * 3 * * *", zone="America/New_York"),
        CronSchedule(cron="0 0 29 2 *"),
        CalendarSchedule(unit="week", every=2, at="02:30", zone="Europe/London"),
        IntervalSchedule(every_s=977.25),
        OnceSchedule(at=NOW + timedelta(days=3)),
    ]
)


@settings(deadline=None)  # a busy machine is no mistake
@given(schedule=SCHEDULES, wait_s=st.floats(0, 10**7), length_s=st.floats(0, 200_000), n=st.integers(1, 5))
def test_looking_back_finds_what_looking_forward_finds(
    schedule: Schedule, wait_s: float, length_s: float, n: int
) -> None:
    """The last times of a stretch are the same, found from either end."""
    after = NOW + timedelta(seconds=wait_s)
    until = after + timedelta(seconds=length_s)
    forward = list(takewhile(lambda each: each.at <= until, occurrences(schedule, NOW, after)))
    assert latest(schedule, NOW, after, until, n) == forward[-n:]


def test_direct_making_is_checked_too() -> None:
    """A schedule made in Python is refused like one that is read."""
    with pytest.raises(BadSchedule) as caught:
        CronSchedule(cron="@daily", zone="Mars/Base")
    assert (caught.value.option, caught.value.message) == ("zone", "there is no time zone 'Mars/Base'")
