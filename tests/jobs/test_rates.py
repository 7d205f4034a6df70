"""Rates: tokens come back exactly, whoever asks how often, and no clock makes more of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etlplus.jobs.queues import LimitDraft
from etlplus.jobs.rates import Bucket, Rate, changed, full, full_at, next_token_at, refilled, spent

START = datetime(2026, 5, 4, tzinfo=UTC)
US = timedelta(microseconds=1)
RATES = st.builds(Rate, count=st.integers(1, 50), per_s=st.sampled_from([1.0, 1.5, 7.0, 60.0]), burst=st.integers(1, 9))


def at(us: int) -> datetime:
    return START + us * US


def after(bucket: Bucket, us: int, *, wants: int) -> tuple[Bucket, int]:
    """The bucket when somebody has come and taken what he can, and how much that was."""
    here = refilled(bucket, at(us))
    got = min(wants, here.tokens)
    return spent(here, got), got


@given(rate=RATES, visits=st.lists(st.tuples(st.integers(-2_000_000, 3_000_000), st.integers(0, 12)), max_size=60))
def test_a_bucket_gives_what_an_exact_one_gives(rate: Rate, visits: list[tuple[int, int]]) -> None:
    """A model in fractions, under a clock that jumps to and fro: the same tokens, at every visit."""
    bucket, now = full(rate, START), 0
    level, seen = Fraction(rate.size), 0
    for step, wants in visits:
        now += step
        level = min(Fraction(rate.size), level + max(now - seen, 0) * Fraction(rate.count, rate.per_us))
        seen = max(seen, now)
        bucket, got = after(bucket, now, wants=wants)
        assert got == min(wants, int(level))
        level -= got
        assert Fraction(bucket.credit, rate.per_us) == level >= 0


@given(rate=RATES, steps=st.lists(st.integers(0, 2_000_000), min_size=1, max_size=80), begin=st.integers(0, 79))
def test_no_stretch_of_time_sees_more_than_its_tokens_and_one_bucket(rate: Rate, steps: list[int], begin: int) -> None:
    """Whoever always takes what there is, between any two moments, gets no more."""
    bucket, now, taken = full(rate, START), 0, list[tuple[int, int]]()
    for step in steps:
        now += step
        bucket, got = after(bucket, now, wants=10**6)
        taken.append((now, got))
    since = taken[min(begin, len(taken) - 1)][0]
    begun = sum(got for moment, got in taken if moment >= since)
    assert begun <= rate.size + (now - since) * Fraction(rate.count, rate.per_us)


@given(rate=RATES, waits=st.lists(st.integers(0, 400_000), max_size=30))
def test_the_next_token_comes_when_it_is_said_to(rate: Rate, waits: list[int]) -> None:
    """Not a microsecond earlier; so it is with the full bucket."""
    bucket, now = full(rate, START), 0
    for wait in waits:
        now += wait
        bucket, _ = after(bucket, now, wants=10**6)
        due = next_token_at(bucket)
        assert refilled(bucket, due).tokens == 1
        assert refilled(bucket, due - US).tokens == 0
        assert refilled(bucket, full_at(bucket)).tokens == rate.size
        assert refilled(bucket, full_at(bucket) - US).tokens < rate.size


def test_what_was_looked_at_a_million_times_is_what_was_never_looked_at() -> None:
    """Three tokens in a second are none too few after a day of looks; a third of a microsecond is not lost at any of them."""
    rate = Rate(count=3, per_s=1, burst=10**6)
    bucket = spent(full(rate, START), 10**6)
    often = bucket
    for look in range(1, 100_001):
        often = refilled(often, at(look * 7))
    assert often == refilled(bucket, at(700_000))


def test_another_rate_leaves_the_tokens_as_they_are() -> None:
    """Half a token is half a token, whatever a token is worth; what there is no room for is lost."""
    slow = Rate(count=1, per_s=60, burst=10)
    bucket = spent(full(slow, START), 7)
    quick = Rate(count=100, per_s=1, burst=5)
    assert changed(bucket, quick, at(30_000_000)) == Bucket(quick, 3_500_000, at(30_000_000))
    assert changed(full(slow, START), quick, START).tokens == 5
    assert changed(bucket, quick, at(-5)).at == START


BAD = [{"count": 0}, {"count": 1, "per_s": 0.5}, {"count": 1, "per_s": 31 * 86_400 + 1}, {"count": 1, "burst": 0}, {}]


@pytest.mark.parametrize("rate", BAD)
def test_a_rate_that_cannot_be_is_refused(rate: dict[str, float]) -> None:
    """None at all, or a period too short or too long; and a limit limits something."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "api", "rate": rate}, LimitDraft)
    with pytest.raises(msgspec.ValidationError, match="slots, a rate, or both"):
        msgspec.convert({"name": "api"}, LimitDraft)
