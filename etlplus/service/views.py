"""
What the service shows: the records that people and programs receive, over REST, WebSocket, the command line and in process.

Views hold no secrets and no internals. They are plain msgspec structs, so that the web room only has to encode them and the
client only has to decode them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from etlplus.jobs.kinds import Command
from etlplus.jobs.model import Attempt, Job, RetryPolicy, RunEvent
from etlplus.jobs.schedules import Schedule
from etlplus.jobs.views import RunView

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of a list; ``next_cursor`` is given while there is more."""

    items: list[T]
    next_cursor: str | None = None


class JobView(msgspec.Struct, frozen=True):
    """A job as it is defined now. ``version`` counts its changes and is its ETag."""

    id: str
    name: str
    version: int
    pipeline: dict[str, Any] | None
    python: str | None
    command: Command | None
    queue: str
    priority: int
    retry: RetryPolicy
    schedule: Schedule | None
    timeout_s: float | None
    memory_limit_bytes: int | None
    paused: bool
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None


class RunDetail(msgspec.Struct, frozen=True):
    """A run with its history: every attempt and every transition, oldest first."""

    run: RunView
    attempts: list[Attempt]
    events: list[RunEvent]


class UserView(msgspec.Struct, frozen=True):
    """A user, without anything that could be used to sign in."""

    id: str
    name: str
    role: str
    permissions: list[str]


class Grant(msgspec.Struct, frozen=True):
    """What signing in gives: a bearer token and the moment it stops counting."""

    access_token: str
    expires_at: datetime
    expires_in_s: int
    token_type: str = "Bearer"


class CheckView(msgspec.Struct, frozen=True):
    """One thing that was looked at: ``status`` is pass, warn or fail; ``detail`` says why in a sentence."""

    name: str
    status: str
    detail: str = ""


class HealthView(msgspec.Struct, frozen=True):
    """The whole in one word (pass, warn, fail), the parts behind it, and where the live monitoring listens."""

    status: str
    checks: list[CheckView]
    version: str
    uptime_s: float
    monitoring_port: int | None = None


class StatusView(msgspec.Struct, frozen=True):
    """The monitoring status: what runs, what waits, who works, and the tree of actors."""

    node: str
    worker_id: str
    version: str
    uptime_s: float
    slots: int
    slots_busy: int
    runs: dict[str, int]
    watchers: int
    stale_results: int
    engine: dict[str, Any]
    tree: dict[str, Any]


class Reject(msgspec.Struct, frozen=True):
    """A refused row: where it stood in which source, its raw bytes as text, and every reason."""

    source: str
    position: int
    reasons: list[str]
    raw: str
    encoding: str = "utf-8"


def job_view(job: Job) -> JobView:
    """What a person sees of a job."""
    return msgspec.convert(job, JobView, from_attributes=True)
