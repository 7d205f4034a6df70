"""What a tick does about a schedule: each nominal time is decided once, and told why."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlplus.jobs.cron import Cron
from etlplus.jobs.occurrences import occurrences
from etlplus.jobs.passing import COUNT_MAX, Passed, Passing
from etlplus.jobs.reasons import Reason
from etlplus.jobs.rules import MisfireRule, OverlapRule
from etlplus.jobs.schedule import Decision, decide, jitter_s, next_after, pauses
from etlplus.jobs.schedules import CronSchedule, IntervalSchedule, OnceSchedule, Schedule

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def minutely(**options: Any) -> IntervalSchedule:
    return IntervalSchedule(every_s=60, start_at=NOW, **options)


def decided(schedule: Schedule, *, due_at: datetime, now: datetime, unfinished: int = 0) -> Decision:
    return decide(schedule, job_id="job", saved_at=NOW, due_at=due_at, now=now, unfinished=unfinished)


def fired(decision: Decision) -> list[datetime]:
    return [each.nominal_at for each in decision.fired]


def test_a_nominal_time_on_time_is_fired_and_the_next_one_named() -> None:
    """The ordinary case: one run, nothing passed over."""
    decision = decided(minutely(), due_at=at(5), now=at(5.1))
    assert fired(decision) == [at(5)]
    assert (decision.passed, decision.next_at) == ((), at(6))


def test_before_its_time_nothing_is_decided() -> None:
    """A tick that comes early, or after the clock was put back, changes nothing."""
    assert decided(minutely(), due_at=at(5), now=at(4)) == Decision(next_at=at(5))


def test_a_nominal_time_that_is_none_any_more_is_not_fired() -> None:
    """When a zone's rules were changed meanwhile, what is a nominal time now counts."""
    assert decided(minutely(), due_at=at(4.5), now=at(4.7)) == Decision(next_at=at(5))


@pytest.mark.parametrize(
    ("options", "nominal", "passed"),
    [
        ({"misfire": "run_once"}, [9], [(0, 8, 9, Passing.COALESCED)]),
        ({"misfire": "run_all"}, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], []),
        ({"misfire": "run_all", "catch_up_max": 3}, [7, 8, 9], [(0, 6, 7, Passing.MISSED)]),
        ({"misfire": "skip", "grace_s": 30}, [9], [(0, 8, 9, Passing.MISSED)]),
        ({"misfire": "skip", "grace_s": 29}, [], [(0, 9, 10, Passing.MISSED)]),
    ],
)
def test_the_misfire_rule_says_what_an_outage_is_made_up_for_with(
    options: dict[str, Any], nominal: list[int], passed: list[tuple[int, int, int, Passing]]
) -> None:
    """One run for all, a run for each up to a limit, or none but the one that is still on time; the rest is one row."""
    decision = decided(minutely(**options), due_at=at(0), now=at(9.5))
    assert fired(decision) == [at(minutes) for minutes in nominal]
    assert decision.passed == tuple(Passed(at(first), at(last), count, why) for first, last, count, why in passed)
    assert decision.next_at == at(10)


@pytest.mark.parametrize(
    ("overlap", "unfinished", "waits", "cancels"),
    [
        ("allow", 0, [False], False),
        ("allow", 5, [False], False),
        ("skip", 0, [False], False),
        ("skip", 1, [], False),
        ("queue_one", 0, [False], False),
        ("queue_one", 1, [True], False),
        ("queue_one", 2, [], False),
        ("cancel_old", 0, [False], False),
        ("cancel_old", 2, [False], True),
    ],
)
def test_the_overlap_rule_says_what_an_unfinished_run_means(
    overlap: OverlapRule, unfinished: int, waits: list[bool], cancels: bool
) -> None:
    """Another run beside it, none, one that waits for it, or one in its place; a nominal time without a run is told."""
    decision = decided(minutely(overlap=overlap), due_at=at(5), now=at(5), unfinished=unfinished)
    assert [each.waits for each in decision.fired] == waits
    assert decision.cancel_unfinished == cancels
    assert decision.passed == (() if waits else (Passed(at(5), at(5), 1, Passing.OVERLAP),))


@pytest.mark.parametrize(
    ("overlap", "nominal", "waits"),
    [("allow", [0, 1, 2], [False] * 3), ("skip", [2], [False]), ("queue_one", [1, 2], [False, True])],
)
def test_runs_that_are_made_up_for_at_once_overlap_too(
    overlap: OverlapRule, nominal: list[int], waits: list[bool]
) -> None:
    """Of several runs that a tick would make, the overlap rule lets the latest through."""
    decision = decided(minutely(misfire="run_all", overlap=overlap), due_at=at(0), now=at(2))
    assert fired(decision) == [at(minutes) for minutes in nominal]
    assert [each.waits for each in decision.fired] == waits
    assert sum(each.count for each in decision.passed) == 3 - len(nominal)


def test_nothing_is_cancelled_for_a_run_that_is_not_made() -> None:
    """Whoever skips what is late keeps the run that is unfinished."""
    late = minutely(misfire="skip", grace_s=1, overlap="cancel_old")
    decision = decided(late, due_at=at(5), now=at(5) + timedelta(seconds=2), unfinished=1)
    assert (decision.fired, decision.cancel_unfinished) == ((), False)


def test_a_run_knows_that_it_was_shifted() -> None:
    """The reason of a nominal time goes with its run."""
    schedule = CronSchedule(cron="30 2 * * *", zone="Europe/Berlin")
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)
    (run,) = decided(schedule, due_at=change, now=change).fired
    assert (run.nominal_at, run.reason) == (change, Reason.SHIFTED_LATER)


def test_what_comes_once_has_no_next_time() -> None:
    """After its run nothing is left to decide."""
    decision = decided(OnceSchedule(at=at(5)), due_at=at(5), now=at(7))
    assert (fired(decision), decision.next_at) == ([at(5)], None)


SCHEDULES = st.sampled_from(
    [
        {"cron": "*/10 * * * *", "zone": "Europe/Berlin"},
        {"cron": "0 2 * * *", "zone": "Europe/Berlin", "repeat": "both"},
        {"cron": "*/20 * 8-9 * * mon-fri", "zone": "America/New_York"},
    ]
)


@settings(deadline=None)  # a busy machine is no mistake
@given(
    options=SCHEDULES,
    misfire=st.sampled_from(get_args(MisfireRule)),
    overlap=st.sampled_from(get_args(OverlapRule)),
    catch_up_max=st.integers(1, 20),
    grace_s=st.sampled_from([0.0, 60.0, 86400.0]),
    waits_s=st.lists(st.floats(0, 200_000), min_size=1, max_size=8),
    unfinished=st.integers(0, 3),
)
def test_every_nominal_time_is_decided_exactly_once(
    options: dict[str, Any],
    misfire: MisfireRule,
    overlap: OverlapRule,
    catch_up_max: int,
    grace_s: float,
    waits_s: list[float],
    unfinished: int,
) -> None:
    """Over ticks that come whenever they like: fired or passed over, in order, none twice, none left out."""
    schedule = CronSchedule(**options, misfire=misfire, overlap=overlap, catch_up_max=catch_up_max, grace_s=grace_s)
    due_at, now, covered = next_after(schedule, NOW, NOW), NOW, 0
    for wait_s in waits_s:
        assert due_at is not None
        now += timedelta(seconds=wait_s)
        decision = decided(schedule, due_at=due_at, now=now, unfinished=unfinished)
        expected = due_in(schedule, due_at - timedelta(seconds=1), now)
        assert sorted(expected) == sorted([*fired(decision), *passed_over(decision, expected)])
        assert fired(decision) == sorted(fired(decision))
        assert decision.next_at == next_after(schedule, NOW, expected[-1] if expected else now)
        due_at = decision.next_at
        covered += len(expected)
    assert covered == len(due_in(schedule, NOW, now))


def due_in(schedule: Schedule, after: datetime, until: datetime) -> list[datetime]:
    return [each.at for each in takewhile(lambda each: each.at <= until, occurrences(schedule, NOW, after))]


def passed_over(decision: Decision, due: list[datetime]) -> list[datetime]:
    """The nominal times in the stretches that were passed over, which count them and end with them."""
    found: list[datetime] = []
    for stretch in decision.passed:
        inside = [each for each in due if stretch.first_at <= each <= stretch.last_at]
        assert (inside[0], inside[-1]) == (stretch.first_at, stretch.last_at)
        assert stretch.count == min(len(inside), COUNT_MAX)
        found += inside
    return found


@pytest.mark.parametrize("misfire", get_args(MisfireRule))
def test_a_long_outage_costs_hardly_more_than_a_short_one(
    misfire: MisfireRule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten years at a beat of a second are decided with about as many questions as an hour, and told as one row."""
    asked = 0
    first_from = Cron.first_from

    def counted(cron: Cron, wall: datetime) -> datetime | None:
        nonlocal asked
        asked += 1
        return first_from(cron, wall)

    monkeypatch.setattr(Cron, "first_from", counted)
    schedule = CronSchedule(cron="* * * * * *", zone="Europe/Berlin", misfire=misfire)
    cost: list[int] = []
    for outage in (timedelta(hours=1), timedelta(days=3650)):
        asked = 0
        decision = decided(schedule, due_at=NOW - outage, now=NOW)
        assert [each.count for each in decision.passed] == [COUNT_MAX]
        cost.append(asked)
    assert cost[1] <= cost[0] * 1.1


@settings(deadline=None)  # a busy machine is no mistake
@given(job_id=st.text(max_size=40), minutes=st.integers(0, 10**6), spread_s=st.floats(0, 86400))
def test_jitter_is_repeatable_and_stays_before_the_next_time(job_id: str, minutes: int, spread_s: float) -> None:
    """The same job waits the same at the same nominal time, less than the spread and less than to the next one."""
    schedule = minutely(jitter_s=spread_s)
    wait_s = jitter_s(schedule, job_id, at(minutes), at(minutes + 1))
    assert wait_s == jitter_s(schedule, job_id, at(minutes), at(minutes + 1))
    assert 0 <= wait_s <= min(spread_s, 60)
    assert wait_s < 60


def test_jitter_spreads_jobs_and_times() -> None:
    """A thousand jobs at one nominal time do not start together, nor one job always at the same distance."""
    schedule = minutely(jitter_s=60)
    by_job = [jitter_s(schedule, f"job {number}", NOW, None) for number in range(1000)]
    by_time = [jitter_s(schedule, "job", at(number), None) for number in range(1000)]
    for waits in (by_job, by_time):
        assert all(sum(low <= wait < low + 10 for wait in waits) > 60 for low in range(0, 60, 10))


def test_the_run_starts_after_its_jitter() -> None:
    """The wait is added to the nominal time, which itself stays what it is."""
    schedule = minutely(jitter_s=30)
    (run,) = decided(schedule, due_at=at(5), now=at(5)).fired
    assert run.run_at == at(5) + timedelta(seconds=jitter_s(schedule, "job", at(5), at(6)))
    assert run.nominal_at == at(5)


def test_repeated_failure_pauses() -> None:
    """After so many failures in a row, and never when no number is given."""
    assert [pauses(minutely(pause_after_failures=3), failures) for failures in range(5)] == [False] * 3 + [True] * 2
    assert not pauses(minutely(), 10**6)
    assert not pauses(OnceSchedule(at=NOW), 10**6)


def test_the_page_names_every_cause() -> None:
    """Why a nominal time has no run is explained where schedules are."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text("utf-8")
    assert [cause for cause in Passing if f"| `{cause}` |" not in page] == []
