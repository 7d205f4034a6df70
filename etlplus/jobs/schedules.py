"""
Schedules as people write them: four kinds, and what each of their options means.

Records only. When a schedule is due is computed in ``occurrences``, what a tick does about it is decided in ``schedule``.
Each option carries its sentence; the JSON Schema and the page on schedules show these. A schedule that is impossible is
refused while it is decoded, and nothing is stored.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from etlplus.jobs import cron_text, zones
from etlplus.jobs.exclusions import Exclusions, Weekday
from etlplus.jobs.refusal import BadSchedule, check_year
from etlplus.jobs.rules import GapRule, MisfireRule, OverlapRule, RepeatRule

Unit = Literal["day", "week", "month"]

Moment = Annotated[datetime, Meta(tz=True)]

_TIME_OF_DAY = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$", re.ASCII)


class _Timing(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """What every kind has: a zone, and rules for a tick that comes late or finds an unfinished run."""

    zone: Annotated[
        str,
        Meta(
            max_length=100,
            description="The IANA time zone whose clocks and days the schedule goes by.",
            examples=["Europe/Berlin"],
        ),
    ] = "UTC"
    misfire: Annotated[
        MisfireRule,
        Meta(
            description="What happens about nominal times that passed while nothing ticked: run_once makes one run, for "
            "the latest; run_all makes a run for each, oldest first, up to catch_up_max; skip makes none, except for the "
            "latest if that is no older than grace_s."
        ),
    ] = "run_once"
    grace_s: Annotated[
        float,
        Meta(
            ge=0, le=366 * 86400, description="How late, in seconds, a nominal time still is on time for misfire skip."
        ),
    ] = 60.0
    catch_up_max: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="How many of the latest nominal times misfire run_all makes up for; older ones are missed.",
        ),
    ] = 100
    overlap: Annotated[
        OverlapRule,
        Meta(
            description="What happens at a nominal time while a run of the schedule is unfinished: allow makes another "
            "run; skip makes none; queue_one makes one that waits, unless one is waiting; cancel_old makes one and has "
            "the unfinished ones cancelled."
        ),
    ] = "allow"
    jitter_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86400,
            description="Spreads starts: a run waits up to so many seconds after its nominal time, always the same for "
            "the same job and nominal time, and never as long as to the next nominal time.",
        ),
    ] = 0.0
    params: Annotated[
        dict[str, Any] | msgspec.UnsetType,  # left out where there are none, as earlier versions know no such option
        Meta(description="The parameters that each run is given.", examples=[{"region": "north"}]),
    ] = msgspec.UNSET

    @property
    def given(self) -> dict[str, Any]:
        """The parameters of each run."""
        return {} if self.params is msgspec.UNSET else self.params

    def __post_init__(self) -> None:
        zones.zone(self.zone)


class _Repeating(_Timing, frozen=True, kw_only=True):
    """What every kind has that is due more than once."""

    start_at: Annotated[
        Moment | None,
        Meta(
            description="Nothing is due before this moment. Intervals and calendars count from it, or else from when "
            "the job was saved."
        ),
    ] = None
    end_at: Annotated[Moment | None, Meta(description="Nothing is due after this moment.")] = None
    exclude: Annotated[Exclusions | None, Meta(description="Days on which nothing is due.")] = None
    pause_after_failures: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(
            description="The job is paused when so many runs of the schedule in a row have failed; without it, never.",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_year("start_at", self.start_at)
        check_year("end_at", self.end_at)
        if self.start_at and self.end_at and self.end_at < self.start_at:
            raise BadSchedule("end_at", f"{self.end_at.isoformat()} is before start_at", "start_at or a later moment")


class _OnTheWall(_Repeating, frozen=True, kw_only=True):
    """What the kinds have that name wall times, some of which are skipped or come twice as clocks are changed."""

    gap: Annotated[
        GapRule | None,
        Meta(
            description="What happens about a wall time that never is because clocks are put forward over it: next_valid "
            "moves it to the moment of the change; before moves it to the second before; skip drops it. Without it: "
            "next_valid, but skip for a cron that names no hours."
        ),
    ] = None
    repeat: Annotated[
        RepeatRule | None,
        Meta(
            description="What happens about a wall time that is twice because clocks are put back: first and second "
            "choose one of the two, both takes both. Without it: first, but both for a cron that names no hours."
        ),
    ] = None


class CronSchedule(_OnTheWall, frozen=True, kw_only=True, tag="cron"):
    """A run at every wall time that a cron describes.

    When both day fields are restricted, a day that fits either is enough (Vixie's rule). A cron that names no hours, such
    as ``*/15 * * * *``, means elapsed time: by itself it neither loses nor doubles a beat as clocks are changed.
    """

    cron: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1000,
            description="Five fields, minute hour day-of-month month day-of-week, or six with second in front; or a "
            "nickname such as @daily.",
            examples=["0 2 * * mon-fri"],
        ),
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        pattern = cron_text.parse(self.cron)
        if self.exclude is None or not self.exclude.weekdays:
            return
        excluded = self.exclude.weekdays
        # A cron counts from Sunday.
        left = sum(1 << (number + 1) % 7 for number, weekday in enumerate(get_args(Weekday)) if weekday not in excluded)
        if not pattern.ever(left):
            raise BadSchedule("exclude", "every day that it could be due is excluded", "a weekday less")


class IntervalSchedule(_Repeating, frozen=True, kw_only=True, tag="interval"):
    """A run every so many seconds of elapsed time, whatever clocks show: at ``start_at`` + n × ``every_s``; without a
    start, counted from when the job was saved.
    """

    every_s: Annotated[
        float, Meta(ge=1, le=366 * 86400, description="Seconds from one nominal time to the next.", examples=[900])
    ]


class CalendarSchedule(_OnTheWall, frozen=True, kw_only=True, tag="calendar"):
    """A run every so many days, weeks or months, at one time of day.

    Periods are counted from the day of ``start_at``, or else from the day on which the job was saved; give a start to
    keep the beat over later changes. Weeks begin on Monday.
    """

    every: Annotated[
        int, Meta(ge=1, le=1000, description="How many days, weeks or months from one period to the next.")
    ] = 1
    unit: Annotated[Unit, Meta(description="What is counted.")]
    at: Annotated[
        str,
        Meta(
            max_length=8,
            description="The time of day, HH:MM or HH:MM:SS.",
            examples=["02:30"],
            extra_json_schema={"pattern": _TIME_OF_DAY.pattern},
        ),
    ]
    weekdays: Annotated[
        tuple[Weekday, ...],
        Meta(max_length=7, description="For weeks: the days of the week; without any, the weekday counted from."),
    ] = ()
    day: Annotated[
        Annotated[int, Meta(ge=1, le=31)] | None,
        Meta(
            description="For months: the day of the month, or the last one of a month that is shorter; without it, the "
            "day counted from.",
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _TIME_OF_DAY.fullmatch(self.at):
            raise BadSchedule("at", f"{self.at!r} is no time of day", "HH:MM or HH:MM:SS, 00:00 to 23:59:59")
        if self.weekdays and self.unit != "week":
            raise BadSchedule("weekdays", f"a period of a {self.unit} has no use for them", "unit week, or no weekdays")
        if self.day is not None and self.unit != "month":
            raise BadSchedule("day", f"a period of a {self.unit} has no use for it", "unit month, or no day")


class OnceSchedule(_Timing, frozen=True, kw_only=True, tag="once"):
    """One run, at one moment. Saved after that moment, it makes none."""

    at: Annotated[Moment, Meta(description="The moment, with its offset from UTC.", examples=["2030-01-31T18:00:00Z"])]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_year("at", self.at)


Schedule = CronSchedule | IntervalSchedule | CalendarSchedule | OnceSchedule


def describe(schedule: Schedule) -> str:
    """A schedule in a few words, for lists."""
    match schedule:
        case CronSchedule():
            return f"cron {schedule.cron} in {schedule.zone}"
        case IntervalSchedule():
            return f"every {schedule.every_s:g} s"
        case CalendarSchedule():
            return f"every {schedule.every} {schedule.unit}(s) at {schedule.at} in {schedule.zone}"
        case OnceSchedule():
            return f"once at {schedule.at.isoformat()}"
