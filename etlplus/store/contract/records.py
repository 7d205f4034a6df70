"""
What a store answers with that is no part of the study.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from etlplus.jobs.model import (
    Job,
    Run,
    RunState,
)
from etlplus.jobs.outcome import Result
from etlplus.jobs.ticks import Tick


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; an empty field asks for nothing."""

    states: tuple[RunState, ...] = ()
    job_id: str | None = None
    queue: str | None = None


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """Which unfinished runs are meant, of those that nobody has asked to end yet; an empty field asks for nothing.

    ``limit_key`` is what they count against, such as ``tenant/42``; ``made_before`` is not included, to the millisecond.
    """

    states: tuple[RunState, ...] = ()
    job_id: str | None = None
    queue: str | None = None
    limit_key: str | None = None
    made_before: datetime | None = None


class Swept(msgspec.Struct, frozen=True):
    """One stretch of a cancellation of many: the runs that changed, and those that had waited for them and go on.

    ``last`` is the id of the last one looked at while there may be more behind it; else None.
    """

    runs: list[Run]
    released: list[Run]
    last: str | None = None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How much there is. ``runs`` has every state; ``letters`` are dead letters that are not resolved; ``stale_results`` are
    outcomes that came too late and were not applied.
    """

    runs: dict[str, int]
    letters: int
    jobs: int
    workers: int
    stale_results: int


class Scheduled(msgspec.Struct, frozen=True):
    """A job with a schedule, and the newest lines of its ledger, the newest first."""

    job: Job
    ticks: Sequence[Tick]


class Claimed(msgspec.Struct, frozen=True, gc=False):
    """A run that the worker now holds, and the definition it was made from (of the run's own ``job_version``)."""

    run: Run
    job: Job


class Taken(msgspec.Struct, frozen=True):
    """The answer to a claim: what was taken, best rank first. ``next_at``: another claim may find something then, since runs
    wait for a token of a rate, others were just busy with slots, or some of what was found cannot be read and was set aside;
    None if there is no such moment. ``held_up``: runs may wait for a slot under a limit, which somebody must free.
    ``more``: that was not all, since a store may leave some slots of a large limit to the next claim.
    """

    claimed: list[Claimed]
    next_at: datetime | None = None
    held_up: bool = False
    more: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an attempt ended, as told by the worker that carried it."""

    run_id: str
    attempt: int
    worker_id: str
    result: Result


class Settled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an outcome. Not ``applied``: a stale result; then ``run`` is None and nothing was changed.

    ``released`` is a run that had waited for this one and goes on now. ``freed``: slots under a limit are free now. Of an outcome
    that is told again ``run`` is as it is by now, ``released`` may have waited for it, and slots may have become free.
    """

    run_id: str
    attempt: int
    applied: bool
    run: Run | None = None
    released: Run | None = None
    freed: bool = False


class HandedOver(msgspec.Struct, frozen=True):
    """What became of the first outcomes, in order, and which runs got the slots that they held."""

    settled: list[Settled]
    taken: Taken


class Beat(msgspec.Struct, frozen=True):
    """The answer to a heartbeat. Not ``alive``: the lease is gone and so are the runs. ``cancel`` are the ids of held
    runs that somebody wants cancelled. ``company``: another worker lives; ``audience``: one attends to what this one publishes.
    """

    alive: bool
    cancel: tuple[str, ...] = ()
    audience: bool = False
    company: bool = False


class Hint(msgspec.Struct, frozen=True, kw_only=True):
    """What is waiting: how many runs are queued (counted up to 1,000), and when the next thing is due for a tick."""

    queued: int
    due_at: datetime | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """How the body is doing: its kind, schema version, size, and figures of its own (units, waits, connections)."""

    kind: str
    schema_version: int
    size_bytes: int
    figures: dict[str, float] = {}


class Horizon(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps the store from cleaning up behind itself.

    ``oldest_s`` is how long the oldest snapshot has been open that somebody else holds (a session, a prepared transaction),
    and ``culprit`` says whose it is; None if there is none. ``dead_ratio`` is the share of dead rows among all rows of
    ``run_live``, as last counted: where it grows, claims walk over graves.
    """

    oldest_s: float = 0.0
    culprit: str | None = None
    dead_ratio: float = 0.0


class Bulletin(msgspec.Struct, frozen=True):
    """What a worker published: numbered from 1 by itself, without gaps."""

    worker_id: str
    number: int
    body: bytes


class Bulletins(msgspec.Struct, frozen=True):
    """What others published, of each worker in order, and who the others are. ``more``: that was not all."""

    bulletins: Sequence[Bulletin] = ()
    workers: frozenset[str] = frozenset()
    more: bool = False
