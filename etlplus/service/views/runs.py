"""
What the service shows of runs.
"""

from __future__ import annotations

import msgspec

from etlplus.jobs.model import Attempt, RunEvent
from etlplus.jobs.views import RunView


class RunDetail(msgspec.Struct, frozen=True):
    """A run with its history: every attempt and every transition, oldest first."""

    run: RunView
    attempts: list[Attempt]
    events: list[RunEvent]


class Reject(msgspec.Struct, frozen=True):
    """A refused row: where it stood in which source, its raw bytes as text, and every reason."""

    source: str
    position: int
    reasons: list[str]
    raw: str
    encoding: str = "utf-8"
