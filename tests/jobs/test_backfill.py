"""A backfill covers its window: every moment in one piece, however the budget cuts it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etlplus.jobs.backfill import DataInterval, plan_backfill
from etlplus.jobs.schedules import CronSchedule, IntervalSchedule, OnceSchedule, Schedule

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
NIGHTLY = CronSchedule(cron="0 2 * * *", zone="Europe/Berlin")


def test_pieces_lie_between_nominal_times() -> None:
    """Days in the schedule's own zone: one of them has 23 hours."""
    window = DataInterval(datetime(2026, 3, 28, 1, tzinfo=UTC), datetime(2026, 3, 30, 12, tzinfo=UTC))
    plan = plan_backfill(NIGHTLY, window, saved_at=NOW, budget=100)
    assert [(piece.start_at.isoformat()[5:16], piece.end_at - piece.start_at) for piece in plan.intervals] == [
        ("03-28T01:00", timedelta(hours=24)),
        ("03-29T01:00", timedelta(hours=23)),
        ("03-30T00:00", timedelta(hours=12)),
    ]
    assert plan.rest is None


def test_the_newest_may_come_first() -> None:
    """Pieces come in the order in which they are to run, and what is left lies before them."""
    window = DataInterval(NOW, NOW + timedelta(days=5))
    plan = plan_backfill(NIGHTLY, window, saved_at=NOW, budget=2, newest_first=True)
    assert plan.intervals[0].end_at == window.end_at
    assert plan.intervals[1].end_at == plan.intervals[0].start_at
    assert plan.rest == DataInterval(NOW, plan.intervals[1].start_at)


@settings(deadline=None)  # a busy machine is no mistake
@given(
    schedule=st.sampled_from([NIGHTLY, IntervalSchedule(every_s=4000, start_at=NOW), OnceSchedule(at=NOW)]),
    start_s=st.integers(-(10**6), 10**6),
    length_s=st.integers(1, 10**6),
    budget=st.integers(1, 60),
    newest_first=st.booleans(),
)
def test_a_window_is_covered_once(
    schedule: Schedule, start_s: int, length_s: int, budget: int, newest_first: bool
) -> None:
    """Planned again and again until nothing is left, the pieces are the window: without gap, overlap or empty piece."""
    start = NOW + timedelta(seconds=start_s)
    window = DataInterval(start, start + timedelta(seconds=length_s))
    pieces: list[DataInterval] = []
    rest: DataInterval | None = window
    while rest is not None:
        plan = plan_backfill(schedule, rest, saved_at=NOW, budget=budget, newest_first=newest_first)
        assert 0 < len(plan.intervals) <= budget
        pieces += plan.intervals
        rest = plan.rest
    if newest_first:
        pieces.reverse()
    assert (pieces[0].start_at, pieces[-1].end_at) == (window.start_at, window.end_at)
    assert all(before.end_at == after.start_at for before, after in pairwise(pieces))
    assert all(piece.start_at < piece.end_at for piece in pieces)
    whole = plan_backfill(schedule, window, saved_at=NOW, budget=10**6)
    assert tuple(pieces) == whole.intervals


def test_an_empty_window_or_budget_is_refused() -> None:
    """There is nothing to plan then."""
    with pytest.raises(ValueError, match="ends after it starts"):
        plan_backfill(NIGHTLY, DataInterval(NOW, NOW), saved_at=NOW, budget=1)
    with pytest.raises(ValueError, match="fills nothing"):
        plan_backfill(NIGHTLY, DataInterval(NOW, NOW + timedelta(days=1)), saved_at=NOW, budget=0)
