"""
The nouns of the house: job, run, attempt, event, worker.

Frozen records, and nothing that decides: what may happen to a run is in ``lifecycle``, when it is tried again in
``retry``, when it is due in ``schedule``. Everybody from the store to the client speaks in these records. All times are
aware and in UTC, all ids are UUIDv7 strings, durations end in ``_s`` and are seconds.

Those of which thousands are made in a second are kept from the collector of cycles (``gc=False``): data has none.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec

from etlplus.jobs.kinds import CALLS, Command, FunctionName, Kind, kind_of
from etlplus.jobs.names import PRIORITY_STEP_S, Folder, Labels, Name, Priority, ShortText
from etlplus.jobs.outcome import Figures, RunError
from etlplus.jobs.queues import LimitUse
from etlplus.jobs.schedules import Schedule

Timeout = Annotated[float, msgspec.Meta(gt=0, le=366 * 86400)]
"""Seconds, up to a year."""

Wait = Annotated[float, msgspec.Meta(ge=0, le=366 * 86400)]
"""The same, or none at all."""


Losses = Annotated[int, msgspec.Meta(ge=1, le=100)]
"""So many lost workers."""

POISON_AFTER = 3


class RunState(StrEnum):
    """Where a run stands. The first four are *unfinished*, the last four are for good."""

    SCHEDULED = "scheduled"
    """Waits for its time: a delayed run, or a retry that backs off. The tick moves it on to queued."""
    BLOCKED = "blocked"
    """Waits for other runs. Whoever finishes the last of them moves it on."""
    QUEUED = "queued"
    """Waits for a free slot. A worker's claim moves it on; nobody else holds anything of it."""
    RUNNING = "running"
    """One worker holds it under its lease. If that worker dies, the rescue moves it back to queued."""
    SUCCEEDED = "succeeded"
    """Every sink is committed and the figures reconcile."""
    FAILED = "failed"
    """Out of attempts, or not worth another; a person may replay it as a new run."""
    CANCELLED = "cancelled"
    """Somebody asked for it before it was done; nothing half-loaded is visible."""
    SKIPPED = "skipped"
    """A rule said that it need not run."""

    @property
    def is_final(self) -> bool:
        """Whether nothing will ever happen to the run again."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.SKIPPED})
LIVE_STATES = frozenset(RunState) - FINAL_STATES


class ErrorRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How errors with one of these codes are treated. ``retry`` decides whether trying again can help, whatever the error
    itself says. ``attempts_max``, ``base_s`` and ``cap_s`` take the place of the policy's own, where given.
    """

    codes: Annotated[tuple[ShortText, ...], msgspec.Meta(min_length=1, max_length=50)]
    retry: bool = True
    attempts_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None
    base_s: Wait | None = None
    cap_s: Wait | None = None


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a failing run is tried, and how long it waits in between; ``retry`` computes the waits.

    ``attempts_max`` counts the first try too: 1 means never again. Attempts that were interrupted (the worker drained
    or died) do not count. ``jitter`` is the share of the wait that is spread at random: 0.1 means ±10 %. Of ``rules``, the
    first that names the error's code is followed.
    """

    kind: Literal["fixed", "linear", "exponential"] = "exponential"
    attempts_max: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    base_s: Wait = 2.0
    cap_s: Wait = 300.0
    jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    rules: Annotated[tuple[ErrorRule, ...], msgspec.Meta(max_length=50)] = ()


class JobDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A job as a person writes it. It is one of three kinds: ``pipeline`` is a plan as data, which the pipeline room checks;
    ``python`` names a function of the program; ``command`` is a program to run.

    ``base_dir`` is where relative paths in the plan start. A paused job makes no scheduled runs; asked for by hand, it
    runs. Only workers that have all ``labels`` carry its runs, and never more than ``limit`` allows at once. ``timeout_s``
    bounds one attempt, ``queue_timeout_s`` how long a run may stand in the queue at a time, and ``total_timeout_s`` all of it,
    from when it first was due, waits and retries included. A run over which ``poison_after`` workers were lost, without an
    attempt ending in order, is poison: it has failed.
    """

    name: Name
    pipeline: dict[str, Any] | None = None
    python: FunctionName | None = None
    command: Command | None = None
    queue: Name = "default"
    priority: Priority = 0
    labels: Labels = ()
    limit: LimitUse | None = None
    retry: RetryPolicy = RetryPolicy()
    schedule: Schedule | None = None
    timeout_s: Timeout | None = None
    queue_timeout_s: Timeout | None = None
    total_timeout_s: Timeout | None = None
    poison_after: Losses = POISON_AFTER
    memory_limit_bytes: Annotated[int, msgspec.Meta(ge=256 << 20, le=1 << 44)] | None = None
    base_dir: Folder = ""
    paused: bool = False

    def __post_init__(self) -> None:
        kind_of(self.pipeline, self.python, self.command)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A stored definition. ``version`` grows by one with each save, and a run keeps the version it was made from.

    ``next_at`` is when the schedule will make the next run; None without a schedule, or while paused. ``fault`` is why what is
    stored of the job cannot be used; see ``reading``.
    """

    id: str
    name: str
    version: int
    pipeline: dict[str, Any] | None = None
    python: str | None = None
    command: Command | None = None
    queue: str = "default"
    priority: int = 0
    labels: tuple[str, ...] = ()
    limit: LimitUse | None = None
    retry: RetryPolicy = RetryPolicy()
    schedule: Schedule | None = None
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    total_timeout_s: float | None = None
    poison_after: int = POISON_AFTER
    memory_limit_bytes: int | None = None
    base_dir: str = ""
    paused: bool = False
    created_at: datetime
    updated_at: datetime
    next_at: datetime | None = None
    fault: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it can be carried out; not so the stand-in for what cannot be read."""
        return not (self.pipeline is None and self.python is None and self.command is None)

    @property
    def kind(self) -> Kind:
        """What the job does."""
        return kind_of(self.pipeline, self.python, self.command)

    @property
    def demands(self) -> tuple[str, ...]:
        """All labels that a worker must have to carry the job's runs, sorted."""
        calls = (CALLS + self.python,) if self.python is not None else ()
        return tuple(sorted({*self.labels, *calls}))


class Uniqueness(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a unique key is taken, and what becomes of a wish then.

    The key is its holder's while that is in one of ``states`` and, with ``period_s``, was made less than that ago. "existing"
    answers with the holder, "reject" refuses the wish, and "replace" answers with the holder after giving it the wish's
    parameters and interval, unless a worker carries it already; its time and its place in the line stay.
    """

    period_s: Timeout | None = None
    states: Annotated[tuple[RunState, ...], msgspec.Meta(min_length=1, max_length=8)] = (
        RunState.SCHEDULED,
        RunState.BLOCKED,
        RunState.QUEUED,
        RunState.RUNNING,
    )
    on_conflict: Literal["existing", "reject", "replace"] = "existing"


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a run. While its ``unique_key`` is somebody's, ``unique`` says what becomes of it: unless told otherwise,
    as long as a run with that key is unfinished, the answer is that run and no new one is made.

    ``run_at`` in the future makes the run wait as scheduled; None means now. ``priority`` is the job's unless given.
    ``interval`` is the stretch of data that it is for, from the first moment on, up to but without the second. With
    ``job_version`` it is made only if the job is at that version still.
    """

    job_id: str
    job_version: int | None = None
    params: dict[str, Any] = {}
    run_at: datetime | None = None
    priority: Priority | None = None
    cause: str = "manual"
    unique_key: str | None = None
    unique: Uniqueness = Uniqueness()
    replay_of: str | None = None
    interval: tuple[datetime, datetime] | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One execution of a job, as it stands.

    ``version`` grows by one with each transition: of two pictures of a run, the one with the larger version is newer.
    ``attempt`` is the number of the latest try (0: none yet) and the fence: who holds an older number holds nothing.
    ``attempts_spent`` are the tries that counted, ``rescues`` the workers lost over it since a try last ended in order; with
    ``poison_after`` of them it has failed.
    ``error`` is why it failed, or while unfinished why the last try did. ``bounds`` is what the first attempt found in
    its sources, so that each later one reads the same. Only a worker with all ``labels`` may claim it, and only while
    ``limit_key`` (empty: none) has a free slot under the limit called ``limit``. Unless it is claimed before ``waits_until``
    it has failed; from ``deadline_at`` on it is neither carried nor tried again. ``replay_of`` is the dead letter that it was
    made from. ``interval`` is the stretch of data that it is for; that of a schedule's run ends at its nominal time.
    """

    id: str
    job_id: str
    job_name: str
    job_version: int
    state: RunState
    queue: str
    priority: int
    labels: tuple[str, ...] = ()
    limit: str | None = None
    limit_key: str = ""
    run_at: datetime
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    params: dict[str, Any] = {}
    attempt: int = 0
    attempts_spent: int = 0
    attempts_max: int = 1
    rescues: int = 0
    poison_after: int = POISON_AFTER
    cancel_requested: bool = False
    error: RunError | None = None
    figures: Figures | None = None
    worker_id: str | None = None
    version: int = 1
    cause: str = "manual"
    unique_key: str | None = None
    bounds: dict[str, Any] | None = None
    queue_timeout_s: float | None = None
    waits_until: datetime | None = None
    deadline_at: datetime | None = None
    replay_of: str | None = None
    interval: tuple[datetime, datetime] | None = None

    @property
    def rank_at(self) -> datetime:
        """The order of claims, earliest first: each step of priority weighs as much as a while of waiting."""
        return self.run_at + timedelta(seconds=self.priority * PRIORITY_STEP_S)


AttemptEnd = Literal["succeeded", "failed", "cancelled", "returned", "lost"]


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One try of a run by one worker. ``ended`` is None while it runs; "lost" means that its worker was lost."""

    run_id: str
    number: int
    worker_id: str
    started_at: datetime
    finished_at: datetime | None = None
    ended: AttemptEnd | None = None
    error: RunError | None = None
    figures: Figures | None = None


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One transition of a run, written together with it; ``version`` is the run's version after it. ``kind`` is a name
    from ``lifecycle.Happening``; ``state`` is where the run stood afterwards.
    """

    run_id: str
    version: int
    at: datetime
    kind: str
    state: RunState
    attempt: int = 0
    detail: dict[str, Any] = {}


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A process that runs. Its lease covers every run it holds and ends at ``expires_at``.

    ``boot_id`` and ``pid`` let a successor on the same node see at once that its predecessor is gone. ``labels`` are what it
    is able to do.
    """

    id: str
    node: str
    pid: int
    boot_id: str
    started_at: datetime
    beat_at: datetime
    expires_at: datetime
    slots: int
    labels: tuple[str, ...] = ()
