"""
What the service shows of definitions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from etlplus.jobs.kinds import Command
from etlplus.jobs.model import Job, RetryPolicy
from etlplus.jobs.queues import LimitUse
from etlplus.jobs.schedules import Schedule


class JobView(msgspec.Struct, frozen=True):
    """A job as it is defined now. ``version`` counts its changes and is its ETag. ``fault`` says why its schedule makes no runs,
    though it should: what is stored of it cannot be read.
    """

    id: str
    name: str
    version: int
    pipeline: dict[str, Any] | None
    python: str | None
    command: Command | None
    queue: str
    priority: int
    labels: tuple[str, ...]
    limit: LimitUse | None
    retry: RetryPolicy
    schedule: Schedule | None
    timeout_s: float | None
    queue_timeout_s: float | None
    total_timeout_s: float | None
    poison_after: int
    memory_limit_bytes: int | None
    base_dir: str
    paused: bool
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None
    fault: str | None = None


def job_view(job: Job) -> JobView:
    """What a person sees of a job."""
    return msgspec.convert(job, JobView, from_attributes=True)
