"""
What the staff say to each other: every message, by the address it goes to.

An address is a tag class with a name in the tree. Callers import these, never the actors themselves, so that actors may
talk in circles without importing in circles.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from etlplus.actors.watchers import Subscription
from etlplus.engines.contract import Lease
from etlplus.jobs.kinds import calls_function
from etlplus.jobs.model import Run, RunState
from etlplus.runtime import Ask, Name, Tell
from etlplus.store.contract import Beat, Claimed, Horizon


class PoolKeeping:
    """Address of the keeper of the store's connections."""


class PoolView(msgspec.Struct, frozen=True):
    """How the store was when it was last looked at: ``up``, or out for the reason that ``error`` gives, ``since`` when."""

    up: bool
    since: datetime
    latency_s: float = 0.0
    error: str = ""
    outages: int = 0
    horizon: Horizon = Horizon()


class GetPool(Ask[PoolKeeping, PoolView]):
    """How is the store? Answered from memory, so that an outage cannot delay the answer."""


class Probe(Tell[PoolKeeping]):
    """Look at the store again."""


class Probed(Tell[PoolKeeping]):
    """The store answered after ``latency_s``; with ``error`` it did not. Without ``horizon``, that was not to be seen."""

    latency_s: float
    error: str = ""
    horizon: Horizon | None = None


class Broadcasting:
    """Address of the broadcaster."""


class Choked(Tell[Broadcasting]):
    """The task that spreads the news is gone."""

    error: str


class Watch(Ask[Broadcasting, Subscription]):
    """Follow topics from now on, with room for ``capacity`` pieces of news that were not fetched yet."""

    topics: tuple[str, ...]
    capacity: int


class Unwatch(Tell[Broadcasting]):
    """The watcher left."""

    watcher: int


class Beating:
    """Address of the heartbeat."""


class BeatNow(Tell[Beating]):
    """Renew the lease."""


class Beaten(Tell[Beating]):
    """The store answered a beat, before which it was asked for the time at ``asked_at_s`` (boot-time clock), and knows whether this
    node ``attends``.
    """

    asked_at_s: float
    answer: Beat
    attends: bool = False


class BeatFailed(Tell[Beating]):
    """The store did not answer a beat; the lease was not moved."""

    error: str


class Completing:
    """Address of the completer."""


class Flush(Tell[Completing]):
    """Look into the outbox and settle what lies there."""


class Acknowledged(Tell[Completing]):
    """The store settled outcomes, and they are out of the outbox."""


class AcknowledgeFailed(Tell[Completing]):
    """The store did not answer; the outcomes stay in the outbox."""

    error: str


class Carrying:
    """Address of a runner."""


class Carry(Tell[Carrying]):
    """Carry the attempt that lies in your slot."""


class StopCarrying(Tell[Carrying]):
    """Somebody wants this run cancelled; ignore it if you carry another."""

    run_id: str


class Carried(Tell[Carrying]):
    """The attempt ended; its result lies in the slot."""


class Crewing:
    """Address of the crew."""


class Board(Tell[Crewing]):
    """Begin the calls of functions that were claimed and wait to be carried."""


class LeaveBoard(Tell[Crewing]):
    """Somebody wants this run cancelled; ignore it if you do not carry it."""

    run_id: str


class Sank(Tell[Crewing]):
    """The task under which all attempts are carried is gone."""

    error: str


class Scribing:
    """Address of the scribe."""


class WriteLogs(Tell[Scribing]):
    """There is something to write."""


class Written(Tell[Scribing]):
    """What there was is written; with ``error`` it is not, and kept."""

    error: str


class Dispatching:
    """Address of the dispatcher."""


class Wake(Tell[Dispatching]):
    """There may be something to claim, or room for it: of runs that call functions, of all others, or (None) of both."""

    calls: bool | None = None

    @staticmethod
    def of(runs: Iterable[Run]) -> Wake | None:
        """For runs that were made or made a transition; None if none of them can be claimed."""
        kinds = {calls_function(run.labels) for run in runs if run.state is RunState.QUEUED}
        return Wake(None if len(kinds) > 1 else kinds.pop()) if kinds else None


class Freed(Tell[Dispatching]):
    """Slots under a limit are free; runs may have waited for them."""


class ClaimAnswered(Tell[Dispatching]):
    """The store gave these runs to this worker, under the lease that it had when it asked; with ``calls``, they call
    functions. ``next_at``: another claim may find something then. ``held_up``: others may wait for a slot. ``more``: others may be
    waiting for nothing.
    """

    claimed: tuple[Claimed, ...]
    next_at: datetime | None
    lease: Lease
    calls: bool
    held_up: bool
    more: bool


class ClaimFailed(Tell[Dispatching]):
    """The store did not answer a claim, or refused it."""

    error: str
    calls: bool


class CancelHere(Tell[Dispatching]):
    """These runs should be cancelled, if one of our runners carries them."""

    run_ids: tuple[str, ...]


class LookAfterYourself(Tell[Dispatching]):
    """Whether bells arrive has changed, and with it how often to look without being woken."""


class Ringing:
    """Address of the bellman."""


class Hear(Tell[Ringing]):
    """Begin to hear."""


class Deaf(Tell[Ringing]):
    """No bell will be heard any more."""

    error: str


class RingOn(Tell[Ringing]):
    """Ring for other nodes again."""


class NotRung(Tell[Ringing]):
    """The store did not take what was pulled, or its answer could not be passed on."""

    error: str


class Test(Tell[Ringing]):
    """Find out whether bells arrive."""


class TestHeard(Tell[Ringing]):
    """They do."""


class Judge(Tell[Ringing]):
    """By now a test should have been heard."""


class Corresponding:
    """Address of the correspondent."""


class Read(Tell[Corresponding]):
    """Somebody has published something."""


class Parted(Tell[Corresponding]):
    """A task that publishes or reads is gone."""

    error: str


class Inspecting:
    """Address of the inspector."""


class Blinded(Tell[Inspecting]):
    """A task that looks at a board is gone."""

    error: str


class Scheduling:
    """Address of the scheduler."""


class Tick(Tell[Scheduling]):
    """Do what is due."""


class Ticked(Tell[Scheduling]):
    """The store made or changed these runs, and decided the schedules of these jobs; the next thing is due at ``due_at``, if it
    knows of any.
    """

    runs: tuple[Run, ...]
    job_ids: tuple[str, ...]
    due_at: datetime | None


class TickFailed(Tell[Scheduling]):
    """The store did not answer; what is due stays due."""

    error: str


class Rescuing:
    """Address of the rescue."""


class Rescue(Tell[Rescuing]):
    """Take back the runs of lost workers."""


class Rescued(Tell[Rescuing]):
    """The store took these runs back."""

    runs: tuple[Run, ...]


class RescueFailed(Tell[Rescuing]):
    """The store did not answer; nobody was rescued."""

    error: str


class Tidying:
    """Address of the retention."""


class Tidy(Tell[Tidying]):
    """Remove history that is too old or too much."""


class Tidied(Tell[Tidying]):
    """One round is over; ``more`` means that another would find more to do."""

    runs_removed: int
    weeks_dropped: int
    more: bool


class TidyFailed(Tell[Tidying]):
    """The store did not answer; nothing was removed."""

    error: str


POOL = Name[PoolKeeping]("pool")
BROADCASTER = Name[Broadcasting]("broadcaster")
HEARTBEAT = Name[Beating]("heartbeat")
COMPLETER = Name[Completing]("completer")
BELLMAN = Name[Ringing]("bellman")
CORRESPONDENT = Name[Corresponding]("correspondent")
INSPECTOR = Name[Inspecting]("inspector")
CREW = Name[Crewing]("crew")
SCRIBE = Name[Scribing]("scribe")
DISPATCHER = Name[Dispatching]("dispatcher")
SCHEDULER = Name[Scheduling]("scheduler")
RESCUE = Name[Rescuing]("rescue")
RETENTION = Name[Tidying]("retention")


def runner_name(slot: int) -> Name[Carrying]:
    """The name of the runner that owns a slot, counted from 0."""
    return Name[Carrying](f"runner-{slot}")
