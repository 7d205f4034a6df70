"""
What the service shows of dead letters.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.views import RunView


class LetterView(msgspec.Struct, frozen=True):
    """A run that failed for good, and what was done about it: nothing yet, replayed as ``replay_id``, or discarded for a
    ``reason``.
    """

    run: RunView
    failed_at: datetime
    resolution: str | None
    resolved_at: datetime | None
    reason: str | None
    replay_id: str | None


class ReplayView(msgspec.Struct, frozen=True):
    """What became, or in a dry run would become, of one dead letter: the run made from it, or why none was."""

    run_id: str
    params: dict[str, Any]
    replay: RunView | None
    problems: list[str]


class Replays(msgspec.Struct, frozen=True):
    """What became of each dead letter that was meant, oldest first. With ``more``, there may be more that are meant."""

    items: list[ReplayView]
    dry_run: bool
    more: bool


class Discarded(msgspec.Struct, frozen=True):
    """The runs whose dead letters are gone. With ``more``, there may be more that are meant."""

    run_ids: list[str]
    more: bool
