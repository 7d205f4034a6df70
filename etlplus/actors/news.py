"""
News: what happened, in the past tense, as it travels to every watcher.

Each piece is encoded once, as one JSON object with a ``type``, and the same bytes go to all who listen. ``n`` counts the
news of one daemon since its start (its *epoch*); the order that is promised is per run, by the run's ``version``.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType

from etlplus.jobs.logs import LogLine
from etlplus.jobs.outcome import Progress
from etlplus.jobs.queues import Limit, QueueCounts
from etlplus.jobs.views import RunView, ScheduleView, WorkerView


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", tag_field="type"):
    """How everything stands that was asked for; ``n`` is the position after which news follows. It replaces what was told
    before: another comes when some of that could not be told. What stands on a board is there if its topic was asked for; of
    schedules, those due next and then the others, up to 200.
    """

    n: int
    topics: tuple[str, ...]
    runs: list[RunView]
    queues: list[QueueCounts] | UnsetType = UNSET
    limits: list[Limit] | UnsetType = UNSET
    schedules: list[ScheduleView] | UnsetType = UNSET
    workers: list[WorkerView] | UnsetType = UNSET


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


class QueuesNews(msgspec.Struct, frozen=True, tag="queues", tag_field="type"):
    """Queues and limits that stand otherwise than was told before, and the names of those that are gone. Topic ``queues``."""

    n: int
    at: datetime
    queues: list[QueueCounts]
    limits: list[Limit]
    queues_gone: list[str]
    limits_gone: list[str]


class SchedulesNews(msgspec.Struct, frozen=True, tag="schedules", tag_field="type"):
    """Schedules that were decided or edited, as they stand since; the ids of jobs that have none any more. Topic ``schedules``."""

    n: int
    at: datetime
    schedules: list[ScheduleView]
    gone: list[str]


class WorkersNews(msgspec.Struct, frozen=True, tag="workers", tag_field="type"):
    """Workers that came and went: ``lost`` is whoever let its lease run out, ``left`` whoever was taken off the list before,
    by itself or, when its process is dead, by its successor on the same machine. Topic ``workers``.
    """

    n: int
    at: datetime
    joined: list[WorkerView]
    left: list[WorkerView]
    lost: list[WorkerView]


News = RunNews | ProgressNews | LogNews | QueuesNews | SchedulesNews | WorkersNews | Snapshot
