"""
News: what happened, in the past tense, as it travels to every watcher.

Each piece is encoded once, as one JSON object with a ``type``, and the same bytes go to all who listen. ``n`` counts the
news of one daemon since its start (its *epoch*); the order that is promised is per run, by the run's ``version``.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from etlplus.jobs.logs import LogLine
from etlplus.jobs.outcome import Progress
from etlplus.jobs.views import RunView


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", tag_field="type"):
    """How everything stands that was asked for; ``n`` is the position after which news follows. It replaces what was told
    before: another comes when some of that could not be told.
    """

    n: int
    topics: tuple[str, ...]
    runs: list[RunView]


class RunNews(msgspec.Struct, frozen=True, tag="run", tag_field="type"):
    """A run made a transition; ``run`` is how it stands since. Topics ``runs`` and ``run:ID``."""

    n: int
    at: datetime
    run: RunView


class ProgressNews(msgspec.Struct, frozen=True, tag="progress", tag_field="type"):
    """The attempt in hand came further; no transition. Drop it when the run's version has moved past ``version``."""

    n: int
    at: datetime
    run_id: str
    version: int
    attempt: int
    progress: Progress


class LogNews(msgspec.Struct, frozen=True, tag="log", tag_field="type"):
    """An attempt wrote these lines, numbered in the order in which it did. Topic ``log:ID``."""

    n: int
    at: datetime
    run_id: str
    attempt: int
    lines: tuple[LogLine, ...]


News = RunNews | ProgressNews | LogNews | Snapshot
