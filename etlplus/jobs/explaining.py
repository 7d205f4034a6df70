"""
Why a run is not running: the facts that stand between it and a worker, found by the same rules as a claim.

A store gathers the situation; what of it blocks is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

from etlplus.jobs.model import Run, RunState, Worker
from etlplus.jobs.queues import QueueMode
from etlplus.jobs.rates import Bucket, Rate, next_token_at, refilled

HOLDERS_MAX = 20
"""So many holders of slots are named; the number is exact."""


class Over(msgspec.Struct, frozen=True, tag="over", tag_field="kind"):
    """The run has ended; it waits for nothing."""

    state: RunState


class InHand(msgspec.Struct, frozen=True, tag="in_hand", tag_field="kind"):
    """It is running: this worker carries it since then."""

    worker_id: str
    since: datetime


class Ending(msgspec.Struct, frozen=True, tag="ending", tag_field="kind"):
    """Somebody wants it cancelled since then, and its attempt has not ended yet."""

    since: datetime


class NotDue(msgspec.Struct, frozen=True, tag="not_due", tag_field="kind"):
    """Its time has not come: a delayed run, or a retry that backs off. Past its time, the next tick moves it on."""

    due_at: datetime


class WaitsForRuns(msgspec.Struct, frozen=True, tag="waits_for_runs", tag_field="kind"):
    """Other runs have to end first."""


class QueuePaused(msgspec.Struct, frozen=True, tag="queue_paused", tag_field="kind"):
    """Its queue gives no runs until somebody opens it."""

    queue: str


class SlotsTaken(msgspec.Struct, frozen=True, tag="slots_taken", tag_field="kind"):
    """Every slot of the house, of its queue or of its limit key is held by runs in hand."""

    of: Literal["house", "queue", "limit"]
    key: str
    slots: int
    held: int
    held_by: tuple[str, ...]


class RateSpent(msgspec.Struct, frozen=True, tag="rate_spent", tag_field="kind"):
    """So many runs of the house or of its limit key have begun of late that no token is left; the next one comes then."""

    of: Literal["house", "limit"]
    key: str
    rate: Rate
    next_at: datetime


class Unread(msgspec.Struct, frozen=True, tag="unread", tag_field="kind"):
    """The version of its job that it was made from cannot be read. It is set aside, and looked at again whenever a node starts."""

    job_version: int
    fault: str


class NoWorker(msgspec.Struct, frozen=True, tag="no_worker", tag_field="kind"):
    """No live worker has all labels that it asks for; ``workers`` are alive at all."""

    labels: tuple[str, ...]
    workers: int


class WorkersBusy(msgspec.Struct, frozen=True, tag="workers_busy", tag_field="kind"):
    """Each live worker that may carry it has all its slots full."""

    worker_ids: tuple[str, ...]


class Behind(msgspec.Struct, frozen=True, tag="behind", tag_field="kind"):
    """So many runs with the same queue, labels and limit key rank before it; exact up to ``COUNTED_MAX``."""

    ahead: int


Fact = (
    Over
    | InHand
    | Ending
    | NotDue
    | WaitsForRuns
    | QueuePaused
    | SlotsTaken
    | RateSpent
    | Unread
    | NoWorker
    | WorkersBusy
    | Behind
)


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run is not running, in the order in which a claim would find out. No fact at all means that the next claim of a
    worker will take it.
    """

    run_id: str
    state: RunState
    facts: tuple[Fact, ...] = ()


class Cap(msgspec.Struct, frozen=True):
    """A limit on the way of a run, and who holds its slots."""

    of: Literal["house", "queue", "limit"]
    key: str
    slots: int
    holders: tuple[str, ...]


class Pace(msgspec.Struct, frozen=True):
    """A rate on the way of a run, and the tokens that are left of it."""

    of: Literal["house", "limit"]
    key: str
    bucket: Bucket


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """What a store knows about a run and what stands around it. ``carrying`` counts the runs in hand of each worker, and
    ``fault`` is why the definition that it was made from cannot be read.
    """

    run: Run
    fault: str | None = None
    claimed_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    mode: QueueMode = QueueMode.OPEN
    caps: tuple[Cap, ...] = ()
    paces: tuple[Pace, ...] = ()
    workers: tuple[Worker, ...] = ()
    carrying: dict[str, int] = {}
    ahead: int = 0


def explain(situation: Situation, now: datetime) -> Explanation:
    """Why the run is not running at ``now``."""
    run = situation.run
    return Explanation(run_id=run.id, state=run.state, facts=tuple(_facts(situation, now)))


def _facts(here: Situation, now: datetime) -> Iterator[Fact]:
    run = here.run
    if run.state.is_final:
        yield Over(run.state)
        return
    if run.state is RunState.RUNNING:
        yield InHand(run.worker_id or "", here.claimed_at or run.created_at)
        if here.cancel_asked_at is not None:
            yield Ending(here.cancel_asked_at)
        return
    if run.state is RunState.SCHEDULED:
        yield NotDue(run.run_at)
    if run.state is RunState.BLOCKED:
        yield WaitsForRuns()
    if here.fault is not None:
        yield Unread(run.job_version, here.fault)
    if here.mode is QueueMode.PAUSED:
        yield QueuePaused(run.queue)
    for cap in here.caps:
        if len(cap.holders) >= cap.slots:
            yield SlotsTaken(cap.of, cap.key, cap.slots, len(cap.holders), cap.holders[:HOLDERS_MAX])
    for pace in here.paces:
        present = refilled(pace.bucket, now)
        if not present.tokens:
            yield RateSpent(pace.of, pace.key, present.rate, next_token_at(present))
    yield from _about_workers(here, now)
    if here.ahead and run.state is RunState.QUEUED:
        yield Behind(here.ahead)


def _about_workers(here: Situation, now: datetime) -> Iterator[Fact]:
    alive = [worker for worker in here.workers if worker.expires_at > now]
    able = [worker for worker in alive if set(here.run.labels) <= set(worker.labels)]
    if not able:
        yield NoWorker(here.run.labels, len(alive))
    elif all(here.carrying.get(worker.id, 0) >= worker.slots for worker in able):
        yield WorkersBusy(tuple(worker.id for worker in able))
