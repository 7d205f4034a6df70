"""
How long history is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

DAY_S = 86_400.0
WEEKS_AHEAD = 2
IDLE_S = 3600.0
"""A limit key that nobody has used for so long is forgotten; the next run that counts against it makes it anew."""


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the history is kept: runs that were made less than ``age_s`` ago, and the youngest that together take no more
    than ``size_bytes``; None means without bound. Unfinished runs and open dead letters are kept whatever their age. The tick
    ledger goes by age alone.
    """

    age_s: Annotated[float, msgspec.Meta(gt=0)] | None = 90 * DAY_S
    size_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of tidying did; ``more`` means that another round would find more to do."""

    runs_removed: int = 0
    ticks_removed: int = 0
    receipts_removed: int = 0
    weeks_made: int = 0
    weeks_dropped: int = 0
    keys_forgotten: int = 0
    more: bool = False


def week_of(moment: datetime) -> datetime:
    """The Monday, midnight UTC, on which a moment's week begins."""
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def weeks_ahead(now: datetime) -> list[datetime]:
    """The weeks that should have a place by now: the present one and the next ones."""
    return [week_of(now) + timedelta(weeks=number) for number in range(WEEKS_AHEAD + 1)]


def idle_since(now: datetime) -> datetime:
    """Limit keys that were last used before this moment are idle."""
    return now - timedelta(seconds=IDLE_S)


def oldest_kept(keep: Keep, now: datetime) -> datetime | None:
    """Runs that were made before this moment are too old; None if none is."""
    return None if keep.age_s is None else now - timedelta(seconds=keep.age_s)
