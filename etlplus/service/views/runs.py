"""
What the service shows of runs.
"""

from __future__ import annotations

import msgspec

from etlplus.jobs.explaining import Fact
from etlplus.jobs.logs import LogLine
from etlplus.jobs.model import Attempt, RunEvent
from etlplus.jobs.views import RunView


class RunDetail(msgspec.Struct, frozen=True):
    """A run with its history: every attempt and every transition, oldest first."""

    run: RunView
    attempts: list[Attempt]
    events: list[RunEvent]


class RunsMade(msgspec.Struct, frozen=True):
    """The answer to many wishes: the id of each one's run, in order. ``made`` are new, ``existing`` were there before."""

    run_ids: list[str]
    made: int
    existing: int


class RunsCancelled(msgspec.Struct, frozen=True):
    """What became of one stretch of the runs that were meant: ``cancelled`` of them waited, ``asked`` are carried and were asked
    to end, and ``run_ids`` are both. ``next_cursor`` is given while there may be more. A dry run counts all of them, and names
    none.
    """

    cancelled: int
    asked: int
    run_ids: list[str]
    dry_run: bool
    next_cursor: str | None = None


class Why(msgspec.Struct, frozen=True):
    """Why a run is not running: the facts in the order in which a claim would find out, and the same in plain sentences."""

    run_id: str
    state: str
    facts: list[Fact]
    sentences: list[str]


class LogPage(msgspec.Struct, frozen=True):
    """Lines of the log of an attempt, in order; ``next_cursor`` is given while there are more. Of the whole log, ``lines``
    were written, ``kept_bytes`` of them are kept and ``dropped`` lines were not.
    """

    items: list[LogLine]
    attempt: int
    lines: int
    kept_bytes: int
    dropped: int
    next_cursor: str | None = None


class Reject(msgspec.Struct, frozen=True):
    """A refused row: where it stood in which source, its raw bytes as text, and every reason."""

    source: str
    position: int
    reasons: list[str]
    raw: str
    encoding: str = "utf-8"
