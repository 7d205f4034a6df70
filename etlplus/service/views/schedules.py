"""
What the service shows of schedules.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from etlplus.jobs.reasons import MEANING, Occurrence


class OccurrenceView(msgspec.Struct, frozen=True):
    """One nominal time: the moment ``at``, the ``wall`` time that means it, whether it is ``due``, and why, as a code and as
    a sentence. When it is not due, ``at`` is where it would have been.
    """

    due: bool
    at: datetime
    wall: datetime
    reason: str
    note: str
    meaning: str


class Preview(msgspec.Struct, frozen=True):
    """The next nominal times of a schedule, due or not. While ``paused``, none of them makes a run."""

    description: str
    items: list[OccurrenceView]
    paused: bool = False


def occurrence_views(found: Iterable[Occurrence]) -> list[OccurrenceView]:
    """What a person sees of nominal times."""
    return [
        OccurrenceView(each.due, each.at, each.wall, each.reason.value, each.note, MEANING[each.reason])
        for each in found
    ]
