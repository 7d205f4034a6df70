"""Cron is read as Vixie's cron reads it, and what cannot be read is refused with its place."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given, settings
from hypothesis import strategies as st

from etlplus.jobs.cron_text import NICKNAMES, parse
from etlplus.jobs.refusal import BadSchedule

START = datetime.fromisoformat("2026-01-01")  # a wall time has no zone


def coming(cron: str, n: int, start: datetime = START) -> list[str]:
    """The next wall times of a cron, to the minute; or to the second where it has six fields."""
    found: list[datetime] = []
    while len(found) < n:
        wall = parse(cron).first_from(found[-1] + timedelta(seconds=1) if found else start)
        assert wall is not None
        found.append(wall)
    return [f"{wall:%Y-%m-%d %H:%M}" if wall.second == 0 else f"{wall:%Y-%m-%d %H:%M:%S}" for wall in found]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 2 * * *", ["2026-01-01 02:00", "2026-01-02 02:00"]),
        ("*/20 9-10 * * *", ["2026-01-01 09:00", "2026-01-01 09:20", "2026-01-01 09:40", "2026-01-01 10:00"]),
        ("5/25 0 1 * *", ["2026-01-01 00:05", "2026-01-01 00:30", "2026-01-01 00:55", "2026-02-01 00:05"]),
        ("10-40/15 0 1 jan *", ["2026-01-01 00:10", "2026-01-01 00:25", "2026-01-01 00:40", "2027-01-01 00:10"]),
        ("0 0 * * mon,Wed", ["2026-01-05 00:00", "2026-01-07 00:00", "2026-01-12 00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 5-7", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00"]),
        ("30 0 0 * * *", ["2026-01-01 00:00:30", "2026-01-02 00:00:30"]),
        ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("0 0 L-3 * *", ["2026-01-28 00:00", "2026-02-25 00:00"]),
        ("0 0 LW * *", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 1W * *", ["2026-01-01 00:00", "2026-02-02 00:00", "2026-03-02 00:00"]),
        ("0 0 15W * *", ["2026-01-15 00:00", "2026-02-16 00:00", "2026-03-16 00:00"]),
        ("0 0 31W * *", ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]),
        ("0 0 * * 5L", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 ? * friL", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * mon#1,mon#3", ["2026-01-05 00:00", "2026-01-19 00:00", "2026-02-02 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 29 feb */7", ["2032-02-29 00:00", "2060-02-29 00:00"]),
        ("@monthly", ["2026-01-01 00:00", "2026-02-01 00:00"]),
    ],
)
def test_a_cron_means_these_wall_times(cron: str, expected: list[str]) -> None:
    """Numbers, names, lists, ranges, steps, seconds, and the signs L, W and #."""
    assert coming(cron, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # both restricted: the 13th, and every Friday
        ("0 0 13 * fri", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00", "2026-01-16 00:00"]),
        # one starts with a star, and so does not count as restricted: days that fit both
        ("0 0 */2 * fri", ["2026-01-09 00:00", "2026-01-23 00:00"]),
        ("0 0 13 * */5", ["2026-02-13 00:00", "2026-03-13 00:00", "2026-09-13 00:00"]),
        ("0 0 13 * *", ["2026-01-13 00:00", "2026-02-13 00:00"]),
    ],
)
def test_either_day_field_is_enough_when_both_are_restricted(cron: str, expected: list[str]) -> None:
    """Vixie's rule, with its corner: a field that starts with a star restricts nothing by itself."""
    assert coming(cron, len(expected)) == expected


@pytest.mark.parametrize(("nickname", "fields"), NICKNAMES.items())
def test_a_nickname_stands_for_its_fields(nickname: str, fields: str) -> None:
    """@daily and its kin are short for five fields."""
    assert coming(nickname.upper(), 3) == coming(fields, 3)


@pytest.mark.parametrize(
    ("cron", "place", "accepted"),
    [
        ("0 0 31 2 *", "field 3 (day of month), character 5: no month in '2'", "days that exist"),
        ("0 0 30,31 feb *", "field 3 (day of month), character 5", "days that exist"),
        ("0 0 31W 4,6 *", "field 3 (day of month), character 5", "days that exist"),
        ("0 0 */40 * *", "field 3 (day of month), character 7: '40' is no step", "1-31"),
        ("*/-5 * * * *", "field 1 (minute), character 3: '-5' is no step", "1-60"),
        ("*/0 * * * *", "field 1 (minute), character 3: '0' is no step", "1-60"),
        ("*/90 * * * *", "field 1 (minute), character 3: '90' is no step", "use an interval"),
        ("*/5/5 * * * *", "field 1 (minute), character 5: a second step", "steps */2"),
        ("0 24 * * *", "field 2 (hour), character 3: 24 is not between 0 and 23", "0-23"),
        ("0 0 0 * *", "field 3 (day of month), character 5: 0 is not between 1 and 31", "1-31"),
        ("0 0 * 13 *", "field 4 (month), character 7: 13 is not between 1 and 12", "jan-dec"),
        ("0 0 * * 8", "field 5 (day of week), character 9: 8 is not between 0 and 7", "sun-sat"),
        ("0 0 * * moon", "field 5 (day of week), character 9: 'moon' is no value", "sun-sat"),
        (
            "0  0  *  *  fri-mon",
            "field 5 (day of week), character 13: the range 'fri-mon' runs backwards",
            "two ranges",
        ),
        ("1,,2 * * * *", "field 1 (minute), character 3: a value is missing", "0-59"),
        ("-5 * * * *", "field 1 (minute), character 1: '-5' is no range", "0-59"),
        ("1-2-3 * * * *", "field 1 (minute), character 1: '1-2-3' is no range", "0-59"),
        ("? * * * *", "field 1 (minute), character 1: '?' is no value", "0-59"),
        ("٣ * * * *", "field 1 (minute), character 1", "0-59"),
        ("99999 * * * *", "field 1 (minute), character 1", "0-59"),
        ("0 0 L-31 * *", "field 3 (day of month), character 7: '31' is no number of days", "L-1 to L-30"),
        ("0 0 32W * *", "field 3 (day of month), character 5: 32 is not between 1 and 31", "15W"),
        ("0 0 * * L", "field 5 (day of week), character 9: L alone names no weekday", "5L or friL"),
        ("0 0 * * mon#6", "field 5 (day of week), character 13: 'mon#6' counts no weekday", "#1 to #5"),
        ("0 0 1 1 * 5 6 7", "has 8 field(s)", "5 or 6 fields"),
        ("61 0 0 1 1 *", "field 1 (second), character 1: 61 is not between 0 and 59", "0-59"),
        ("", "has 0 field(s)", "5 or 6 fields"),
        ("@reboot", "has 1 field(s)", "@daily"),
    ],
)
def test_what_is_no_cron_is_refused_with_its_place(cron: str, place: str, accepted: str) -> None:
    """The error names field, character and what would be accepted; a cron that never comes is one of these errors."""
    with pytest.raises(BadSchedule) as caught:
        parse(cron)
    assert caught.value.option == "cron"
    assert place in caught.value.message
    assert accepted in caught.value.accepted


@settings(deadline=None)  # a busy machine is no mistake
@given(st.text("0123456789*/-,#LW?abcdefjmnostuv @\n\t", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text makes the parser fail in any other way, and what it accepts comes some day."""
    try:
        cron = parse(text)
    except BadSchedule:
        return
    assert cron.first_from(START) is not None


def fields(low: int, high: int, step_max: int) -> st.SearchStrategy[str]:
    """One field in the language that both readers share."""
    value = st.integers(low, high)
    span = st.tuples(value, value).map(sorted).map(lambda ends: f"{ends[0]}-{ends[1]}")
    step = st.integers(1, step_max)
    wide = st.tuples(value, value).filter(lambda ends: ends[0] < ends[1]).map(lambda ends: f"{ends[0]}-{ends[1]}")
    stepped = st.tuples(st.one_of(st.just("*"), wide), step).map(lambda parts: f"{parts[0]}/{parts[1]}")
    term = st.one_of(value.map(str), span, stepped)
    return st.one_of(st.just("*"), st.lists(term, min_size=1, max_size=3).map(",".join))


DAYS = st.one_of(fields(1, 31, 31), st.sampled_from(["L", "LW", "1,L", "15,LW"]))
WEEKDAYS = st.one_of(
    fields(0, 7, 7), st.sampled_from(["5L", "0L", "7L", "1#2", "0#5", "7#1", "mon", "SUN", "tue-fri", "5L,1#1"])
)
CRONS = st.tuples(fields(0, 59, 60), fields(0, 23, 24), DAYS, fields(1, 12, 12), WEEKDAYS).map(" ".join)


@settings(deadline=None)  # a busy machine is no mistake
@given(cron=CRONS, start=st.datetimes(START.replace(year=2000), START.replace(year=2050)))
def test_an_independent_reader_finds_the_same_times(cron: str, start: datetime) -> None:
    """Where both speak the same language, the next times are the same, in UTC."""
    try:
        ours = parse(cron)
    except BadSchedule:
        # only an impossible date is refused here; the other refuses it too, or searches and finds none
        with pytest.raises((StopIteration, CronSimError)):
            next(CronSim(cron, start.replace(tzinfo=UTC)))
        return
    theirs = CronSim(cron, start.replace(tzinfo=UTC))
    wall = start
    for _ in range(5):
        wall = ours.first_from(wall.replace(microsecond=0) + timedelta(seconds=1))
        try:
            expected = next(theirs)
        except StopIteration:
            assert wall is None or wall.year > start.year + 48
            return
        assert wall == expected.replace(tzinfo=None)


DISAGREEMENTS = {
    "*/90 * * * *": "a step beyond the field: read there as */60, refused here, since nobody means it",
    "0 0 L-3 * *": "days before the last: refused there",
    "0 0 15W * *": "the nearest working day: refused there",
    "0 0 * * friL": "the last weekday by name: refused there",
    "0 0 ? * *": "the question mark: refused there",
    "@daily": "nicknames: refused there",
    "0 0 L/2 * *": "a step behind L: ignored there, refused here",
    "0 0 30 2 1": "an impossible day or a weekday: accepted by both",
}
"""Where the independent reader, cronsim, and ours differ; the last line marks where one might expect it and they do not."""


def ours_accepts(cron: str) -> bool:
    try:
        parse(cron)
    except BadSchedule:
        return False
    return True


def theirs_accepts(cron: str) -> bool:
    try:
        CronSim(cron, START)
    except CronSimError:
        return False
    return True


@pytest.mark.parametrize("cron", DISAGREEMENTS)
def test_the_disagreements_are_these(cron: str) -> None:
    """Each text in the list is accepted by one of the readers only, but for the last."""
    assert (ours_accepts(cron) == theirs_accepts(cron)) == ("accepted by both" in DISAGREEMENTS[cron])


def test_the_page_lists_the_disagreements() -> None:
    """Who compares with another reader finds the differences in the docs."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
    shown = [f"| `{cron}` | {how} |" for cron, how in DISAGREEMENTS.items() if "accepted by both" not in how]
    assert [line for line in shown if line not in page] == []
