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


LEDGER_SHARE = 0.1
"""Of the size that is kept, so much may be lines of the tick ledger."""
LINE_BYTES = 300
"""What a line of the tick ledger takes, its indexes included; rather more."""


class Keep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of the history is kept: runs that were made less than ``age_s`` ago, and the youngest that together take no more
    than ``size_bytes``; None means without bound. Unfinished runs and open dead letters are kept whatever their age. The tick
    ledger goes by the same age, and has a share of the size, which its youngest lines fill.
    """

    age_s: Annotated[float, msgspec.Meta(gt=0)] | None = 90 * DAY_S
    size_bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None


class Tidied(msgspec.Struct, frozen=True, kw_only=True):
    """What one round of tidying did; ``more`` means that another round would find more to do."""

    runs_removed: int = 0
    ticks_removed: int = 0
    receipts_removed: int = 0
    versions_removed: int = 0
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


def lines_kept(keep: Keep) -> int | None:
    """So many lines of the tick ledger fill its share; None if it has no bound."""
    return None if keep.size_bytes is None else int(keep.size_bytes * LEDGER_SHARE / LINE_BYTES)


def ledger_begin(keep: Keep, now: datetime, surplus_at: datetime | None) -> datetime | None:
    """
    Lines of the tick ledger that were written before this moment go; None if none does.

    Those of the last day stay in any case: they keep a clock that is put back from deciding a nominal time again.

    Args:
        surplus_at: When the youngest line was written that is beyond the ledger's share; None if there is none.
    """
    too_old = oldest_kept(keep, now)
    if surplus_at is None:
        return too_old
    too_much = min(surplus_at, now - timedelta(seconds=DAY_S))
    return too_much if too_old is None else max(too_old, too_much)
