"""
Rates: how many runs may begin in a while, by a bucket of tokens.

Each run that is claimed takes a token of its key. Tokens come back one by one as time passes, and ``burst`` of them may be
saved up, so in no stretch of time do more runs begin than the tokens that come in it and one full bucket.

A bucket counts in whole numbers: a token is worth as many credits as its period has microseconds, and each microsecond brings
as many credits as the period has tokens. So nothing is rounded, and nothing drifts, however often a bucket is looked at.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

PERIOD_S_MAX = 31 * 86_400

_US = timedelta(microseconds=1)

Tokens = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
"""So many runs."""


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """At most ``count`` runs begin in ``per_s`` seconds, in the long run; ``burst`` of them may begin at once after a lull, as
    many as ``count`` unless told. So in no stretch of ``per_s`` seconds do more than ``count`` and ``burst`` together begin.
    """

    count: Tokens
    per_s: Annotated[float, msgspec.Meta(ge=1, le=PERIOD_S_MAX)] = 1.0
    burst: Tokens | None = None

    @property
    def size(self) -> int:
        """How many tokens the bucket holds when it is full."""
        return self.count if self.burst is None else self.burst

    @property
    def per_us(self) -> int:
        """The period in microseconds; also what a token is worth."""
        return round(self.per_s * 1_000_000)


class Bucket(msgspec.Struct, frozen=True):
    """The tokens of one key, as they were at ``at``, in credits."""

    rate: Rate
    credit: int
    at: datetime

    @property
    def tokens(self) -> int:
        """Whole tokens in the bucket."""
        return self.credit // self.rate.per_us


def full(rate: Rate, now: datetime) -> Bucket:
    """The bucket of a key that nobody has used yet."""
    return Bucket(rate, rate.size * rate.per_us, now)


def refilled(bucket: Bucket, now: datetime) -> Bucket:
    """The bucket at ``now``. A clock that was put back brings nothing, and nothing comes until it is where it was."""
    if now <= bucket.at:
        return bucket
    rate = bucket.rate
    credit = bucket.credit + (now - bucket.at) // _US * rate.count
    return Bucket(rate, min(credit, rate.size * rate.per_us), now)


def spent(bucket: Bucket, tokens: int) -> Bucket:
    """The bucket without so many of its tokens."""
    left = bucket.credit - tokens * bucket.rate.per_us
    assert left >= 0, "more tokens were taken than there were"
    return Bucket(bucket.rate, left, bucket.at)


def next_token_at(bucket: Bucket) -> datetime:
    """When the bucket has a token: at once, or as soon as the missing credits have come."""
    return _reaches(bucket, bucket.rate.per_us)


def full_at(bucket: Bucket) -> datetime:
    """When the bucket is full, unless more is taken; from then on it says no more than a new one would."""
    return _reaches(bucket, bucket.rate.size * bucket.rate.per_us)


def changed(bucket: Bucket, rate: Rate, now: datetime) -> Bucket:
    """The bucket under another rate from now on: it keeps the tokens that it has, as far as there is room for them."""
    present = refilled(bucket, now)
    credit = present.credit * rate.per_us // present.rate.per_us
    return Bucket(rate, min(credit, rate.size * rate.per_us), present.at)


def _reaches(bucket: Bucket, credit: int) -> datetime:
    missing = max(credit - bucket.credit, 0)
    return bucket.at + -(-missing // bucket.rate.count) * _US
