"""Weeks and bounds of retention, and ids that sort by time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlplus.jobs.ids import Ids, first_id
from etlplus.jobs.retention import DAY_S, Keep, ledger_begin, oldest_kept, week_of, weeks_ahead

MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


@given(moment=MOMENTS)
def test_a_week_begins_on_monday_at_midnight_and_has_its_moment_in_it(moment: datetime) -> None:
    """And the weeks ahead follow each other without a gap."""
    week = week_of(moment)
    assert (week.weekday(), week.hour, week.minute, week.second, week.microsecond) == (0, 0, 0, 0, 0)
    assert week <= moment < week + timedelta(weeks=1)
    assert weeks_ahead(moment) == [week, week + timedelta(weeks=1), week + timedelta(weeks=2)]


@given(moment=MOMENTS, seed=st.integers(0, 1000))
def test_the_first_id_of_a_moment_parts_the_ids(moment: datetime, seed: int) -> None:
    """One that is made then sorts behind it, one that is made a millisecond earlier sorts before it."""
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert Ids(Random(seed)).new(moment) > first_id(moment)
    assert Ids(Random(seed)).new(moment - timedelta(milliseconds=1)) < first_id(moment)


def test_age_is_counted_back_from_now() -> None:
    """Without an age nothing is too old."""
    now = datetime(2026, 5, 4, tzinfo=UTC)
    assert oldest_kept(Keep(age_s=60), now) == now - timedelta(seconds=60)
    assert oldest_kept(Keep(age_s=None), now) is None


@pytest.mark.parametrize(
    ("age_days", "surplus_days", "begin_days"),
    [(None, None, None), (30, None, 30), (None, 10, 10), (30, 10, 10), (5, 10, 5), (30, 0.5, 1), (0.5, 10, 0.5)],
)
def test_of_two_bounds_the_tighter_one_counts_for_the_ledger(
    age_days: float | None, surplus_days: float | None, begin_days: float | None
) -> None:
    """All in days before now; for its share of the size, no line of the last day goes."""
    now = datetime(2026, 5, 4, tzinfo=UTC)
    keep = Keep(age_s=age_days and age_days * DAY_S)
    found = ledger_begin(keep, now, now - timedelta(days=surplus_days) if surplus_days is not None else None)
    assert found == (now - timedelta(days=begin_days) if begin_days is not None else None)
