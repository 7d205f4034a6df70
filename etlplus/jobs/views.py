"""
Runs, schedules and workers as others see them: without the store's internals; a run with the newest progress of the attempt
in hand, a schedule with what was decided last.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import Job, Run, Worker
from etlplus.jobs.outcome import Figures, Progress, RunError
from etlplus.jobs.schedules import describe
from etlplus.jobs.ticks import Tick
from etlplus.jobs.unique import IDEMPOTENT

FINISHED = frozenset({"succeeded", "failed", "cancelled", "skipped"})
"""The states after which no transition follows."""


class RunView(msgspec.Struct, frozen=True):
    """A run as it stands. ``version`` grows with every transition; of two views the one with the larger version is newer.

    ``interval`` is the stretch of data that it is for, from the first moment on, up to but without the second; ``replay_of``
    the failed run that it was made from again.
    """

    id: str
    job_id: str
    job_name: str
    job_version: int
    state: str
    cause: str
    queue: str
    priority: int
    version: int
    attempt: int
    attempts_max: int
    cancel_requested: bool
    run_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    params: dict[str, Any]
    error: RunError | None
    figures: Figures | None
    progress: Progress | None = None
    labels: tuple[str, ...] = ()
    interval: tuple[datetime, datetime] | None = None
    unique_key: str | None = None
    replay_of: str | None = None

    @property
    def finished(self) -> bool:
        """True once no further transition can follow."""
        return self.state in FINISHED


def run_view(run: Run, progress: Progress | None = None) -> RunView:
    """What a person sees of a run; ``progress`` is the newest report of the attempt in hand."""
    view = msgspec.convert(run, RunView, from_attributes=True)
    labels = tuple(label for label in run.labels if not label.startswith(CALLS))
    key = None if run.unique_key is None or run.unique_key.startswith(IDEMPOTENT) else run.unique_key
    return msgspec.structs.replace(view, progress=progress, labels=labels, unique_key=key)


class ScheduleView(msgspec.Struct, frozen=True):
    """The schedule of a job: in words, when it is due next (null while paused, or when nothing is due any more), and the newest
    lines of its ledger, the newest first. With a ``fault``, it cannot be used.
    """

    job_id: str
    job_name: str
    job_version: int
    description: str
    paused: bool
    next_at: datetime | None
    fault: str | None
    ticks: list[Tick]


def schedule_view(job: Job, ticks: Iterable[Tick]) -> ScheduleView:
    """What a person sees of the schedule of a job."""
    description = describe(job.schedule) if job.schedule is not None else ""
    return ScheduleView(job.id, job.name, job.version, description, job.paused, job.next_at, job.fault, list(ticks))


class WorkerView(msgspec.Struct, frozen=True):
    """A worker that lives: the machine it is on, its process there, and how many runs it may carry in processes at once."""

    id: str
    node: str
    pid: int
    started_at: datetime
    slots: int
    labels: tuple[str, ...]


def worker_view(worker: Worker) -> WorkerView:
    """What a person sees of a worker."""
    labels = tuple(label for label in worker.labels if not label.startswith(CALLS))
    return WorkerView(worker.id, worker.node, worker.pid, worker.started_at, worker.slots, labels)
