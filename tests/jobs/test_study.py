"""The study: lifecycle, retry, schedules, ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlplus.jobs.ids import Ids
from etlplus.jobs.lifecycle import TRANSITIONS, Happening, after, diagram
from etlplus.jobs.model import FINAL_STATES, ErrorRule, RetryPolicy, RunState
from etlplus.jobs.outcome import RunError
from etlplus.jobs.retry import backoff_s, retry_wait_s
from etlplus.jobs.schedule import next_after
from etlplus.jobs.schedules import IntervalSchedule

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("happening", Happening)
def test_the_table_decides_every_pair(state: RunState, happening: Happening) -> None:
    """What the table lists happens, anything else is refused; nothing ever happens to a finished run."""
    if (state, happening) in TRANSITIONS:
        assert state not in FINAL_STATES
        assert after(state, happening) is TRANSITIONS[state, happening]
    else:
        with pytest.raises(ValueError, match="cannot be"):
            after(state, happening)


def test_every_unfinished_state_but_skipped_leads_to_an_end() -> None:
    """From each unfinished state an end can be reached."""
    for state in set(RunState) - FINAL_STATES:
        reached, frontier = {state}, [state]
        while frontier:
            here = frontier.pop()
            following = {target for (source, _), target in TRANSITIONS.items() if source is here} - reached
            reached |= following
            frontier += following
        assert reached & FINAL_STATES


def test_the_diagram_shows_every_transition() -> None:
    """The picture in the docs is drawn from the table."""
    for (state, happening), target in TRANSITIONS.items():
        assert f"{state} --> {target}: {happening}" in diagram()


@pytest.mark.parametrize(
    ("kind", "golden"),
    [("fixed", [2, 2, 2, 2, 2]), ("linear", [2, 4, 6, 8, 10]), ("exponential", [2, 4, 8, 16, 20])],
)
def test_backoff_keeps_to_its_golden_schedule(kind: str, golden: list[float]) -> None:
    """Exponential doubles, linear adds, fixed stays; the cap holds."""
    policy = RetryPolicy(kind=kind, base_s=2, cap_s=20, jitter=0)  # type: ignore[arg-type]
    assert [backoff_s(policy, attempt, Random(0)) for attempt in range(1, 6)] == golden


def test_jitter_stays_within_its_share_and_attempts_count_from_one() -> None:
    """±10 % means that, for any draw; attempt 0 does not exist."""
    policy = RetryPolicy(base_s=10, jitter=0.1)
    waits = [backoff_s(policy, 1, Random(seed)) for seed in range(200)]
    assert 9 <= min(waits) < max(waits) <= 11
    with pytest.raises(ValueError, match="from 1"):
        backoff_s(policy, 0, Random(0))


def waits(policy: RetryPolicy, error: RunError, spent: int = 1, most: int = 3) -> float | None:
    return retry_wait_s(policy, error, attempts_spent=spent, attempts_max=most, rng=Random(0))


def test_trying_again_needs_a_reason_and_an_attempt() -> None:
    """A retryable error with an attempt left is tried again, nothing else."""
    policy = RetryPolicy(base_s=2, jitter=0)
    assert waits(policy, RunError("x", "", retryable=True), spent=2) == 4
    assert waits(policy, RunError("x", "", retryable=True), spent=3) is None
    assert waits(policy, RunError("x", "")) is None


def test_a_rule_goes_before_what_the_error_says() -> None:
    """The first rule with the code decides whether, how often, and how long; other codes keep to the policy."""
    policy = RetryPolicy(
        kind="fixed", base_s=2, jitter=0,
        rules=(
            ErrorRule(codes=("a", "b"), retry=False),
            ErrorRule(codes=("b", "c"), attempts_max=9, base_s=50, cap_s=40),
        ),
    )  # fmt: skip
    assert waits(policy, RunError("a", "", retryable=True)) is None
    assert waits(policy, RunError("b", "", retryable=True)) is None
    assert waits(policy, RunError("c", ""), spent=8) == 40
    assert waits(policy, RunError("c", ""), spent=9) is None
    assert waits(policy, RunError("d", "", retryable=True), spent=2) == 2


def test_an_error_may_ask_for_a_longer_wait_but_not_for_ever() -> None:
    """Never sooner than it asks, even above the cap; never later than a day for that."""
    policy = RetryPolicy(kind="fixed", base_s=10, cap_s=20, jitter=0)
    for asked_s, waited_s in ((5, 10), (100, 100), (1e9, 86_400)):
        assert waits(policy, RunError("busy", "", retryable=True, retry_after_s=asked_s)) == waited_s


def test_no_wait_is_longer_than_a_year() -> None:
    """A policy or a rule that says so is refused where it is read; one that was made or stored otherwise waits a year."""
    rule = ErrorRule(codes=("x",), base_s=1e300, cap_s=1e300)
    assert waits(RetryPolicy(jitter=0, rules=(rule,)), RunError("x", "", retryable=True)) == 366 * 86_400
    for said in ({"base_s": 1e300}, {"cap_s": 1e300}, {"rules": [{"codes": ["x"], "base_s": 1e300}]}):
        with pytest.raises(msgspec.ValidationError, match="<= 31622400"):
            msgspec.convert(said, RetryPolicy)


def test_intervals_keep_their_beat_over_an_outage() -> None:
    """The next time is a multiple of the interval after the start, strictly later than asked."""
    schedule = IntervalSchedule(every_s=60, start_at=NOW)
    assert next_after(schedule, NOW, NOW - timedelta(days=1)) == NOW
    assert next_after(schedule, NOW, NOW) == NOW + timedelta(seconds=60)
    assert next_after(schedule, NOW, NOW + timedelta(seconds=3661)) == NOW + timedelta(seconds=3720)
    assert next_after(IntervalSchedule(every_s=60), NOW, NOW) == NOW + timedelta(seconds=60)


@given(
    every_s=st.floats(1, 100_000), count=st.integers(0, 50_000), start_s=st.floats(0, 10**9), past_s=st.floats(0, 10**6)
)
def test_a_nominal_time_is_never_due_twice(every_s: float, count: int, start_s: float, past_s: float) -> None:
    """Asked at a nominal time, the next one lies a whole interval ahead; asked in between, at most one ahead."""
    start = NOW + timedelta(seconds=start_s)
    schedule = IntervalSchedule(every_s=every_s, start_at=start)
    every = timedelta(microseconds=round(every_s * 1_000_000))
    assert next_after(schedule, NOW, start + every * count) == start + every * (count + 1)
    moment = start + timedelta(seconds=past_s)
    assert timedelta(0) < next_after(schedule, NOW, moment) - moment <= every


def test_ids_grow_and_repeat_with_their_seed() -> None:
    """Ids of one source sort as they were made, even within a millisecond and when the clock steps back."""
    ids = Ids(Random(1))
    made = [ids.new(NOW - timedelta(seconds=number % 3)) for number in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == 10_000
    assert Ids(Random(1)).new(NOW) == made[0]
    assert made[0][14] == "7"
