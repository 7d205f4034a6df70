"""
Queues and limits: how many runs may be carried at once, how many may begin in a while, and where they wait until they may.

A run waits in one *lane*: the runs of one queue that ask for the same labels and count against the same limit key. Whether a
worker may take from a lane depends on the lane alone, never on the single run, so a claim looks at lanes and not at the runs
of a lane that it may not take from.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, cast

import msgspec

from etlplus.jobs.names import Name, ShortText
from etlplus.jobs.rates import Rate

Slots = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
"""So many runs at once."""

HOUSE = "*"
"""The name of the limit over all runs of the house."""
_QUEUES = "/queue/"


class QueueMode(StrEnum):
    """What a queue does with its runs. Runs in hand go on in any mode."""

    OPEN = "open"
    """Runs come in and are claimed."""
    PAUSED = "paused"
    """Runs come in and wait."""
    DRAINING = "draining"
    """No new run is accepted, and schedules let their times pass; runs that are there are claimed until none is left."""


class QueueDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A queue as a person writes it. ``slots`` bounds how many of its runs are carried at once, on all nodes together;
    None means as many as there are slots in workers.
    """

    name: Name
    slots: Slots | None = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """A stored queue. Pausing and draining outlive a restart."""

    name: str
    slots: int | None = None
    mode: QueueMode = QueueMode.OPEN
    created_at: datetime
    updated_at: datetime


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """A queue and how much waits in it. Each number is exact up to ``COUNTED_MAX`` and stays there beyond."""

    queue: Queue
    queued: int
    scheduled: int
    running: int
    oldest_at: datetime | None = None
    """When the run that has waited longest became due; None when none is queued."""


COUNTED_MAX = 10_000


class LimitDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A limit as a person writes it: for each of its keys, at most ``slots`` runs at once, no more of them begun than ``rate``
    allows, or both. The limit named ``*`` is the one over all runs of the house.
    """

    name: Name
    slots: Slots | None = None
    rate: Rate | None = None

    def __post_init__(self) -> None:
        check_limit(self.slots, self.rate)


def check_limit(slots: int | None, rate: Rate | None) -> None:
    """Raises ValueError for a limit that limits nothing."""
    if slots is None and rate is None:
        raise ValueError("a limit has slots, a rate, or both")


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A stored limit."""

    name: str
    slots: int | None = None
    rate: Rate | None = None
    created_at: datetime
    updated_at: datetime


class LimitUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That the runs of a job count against a limit. With ``by``, the name of a parameter, each value of that parameter has
    all the slots for itself; without, all runs that use the limit share them.
    """

    name: Name
    by: ShortText | None = None


def limit_key(use: LimitUse | None, params: dict[str, Any], pipeline: dict[str, Any] | None) -> str:
    """The key that a run with these parameters counts against; empty without a limit."""
    if use is None:
        return ""
    return use.name if use.by is None else f"{use.name}/{counted_by(use.by, params, pipeline)}"


def counted_by(name: str, params: dict[str, Any], pipeline: dict[str, Any] | None) -> object:
    """The value of a parameter that a limit counts by: the run's own, else the default that the pipeline declares, if any."""
    if name in params:
        return params[name]
    declared = (pipeline or {}).get("params")
    found: object = cast("dict[str, Any]", declared).get(name) if isinstance(declared, dict) else None
    return cast("dict[str, Any]", found).get("default") if isinstance(found, dict) else found


def limit_of(key: str) -> str:
    """The name of the limit that a key is of."""
    return key.partition("/")[0]


def queue_key(queue: str) -> str:
    """The key of a queue's own slots; no limit's key looks like it, since a name has no slash in front."""
    return f"{_QUEUES}{queue}"


def has_lanes(key: str) -> bool:
    """Whether runs wait in lanes of their own for this key: not for that of the house or of a queue."""
    return key != HOUSE and not key.startswith(_QUEUES)
