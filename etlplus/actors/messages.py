"""
What the staff say to each other: every message, by the address it goes to.

An address is a tag class with a name in the tree. Callers import these, never the actors themselves, so that actors may
talk in circles without importing in circles.
"""

from __future__ import annotations

import msgspec

from etlplus.actors.watchers import Subscription
from etlplus.jobs.model import Run
from etlplus.jobs.outcome import Progress, Result
from etlplus.runtime import Ask, Name, Tell
from etlplus.store.contract import Beat, Claimed, Horizon, Settled


class PoolKeeping:
    """Address of the keeper of the store's connections."""


class PoolView(msgspec.Struct, frozen=True):
    """How the store was when it was last looked at. ``up`` is False during an outage, and ``error`` says why."""

    up: bool
    latency_s: float
    error: str = ""
    outages: int = 0
    horizon: Horizon = Horizon()


class GetPool(Ask[PoolKeeping, PoolView]):
    """How is the store? Answered from memory, so that an outage cannot delay the answer."""


class Probe(Tell[PoolKeeping]):
    """Look at the store again."""


class Probed(Tell[PoolKeeping]):
    """The store answered after ``latency_s``; with ``error`` it did not."""

    latency_s: float
    error: str = ""
    horizon: Horizon = Horizon()


class Broadcasting:
    """Address of the broadcaster."""


class Announce(Tell[Broadcasting]):
    """These runs made a transition."""

    runs: tuple[Run, ...]


class AnnounceProgress(Tell[Broadcasting]):
    """The attempt in hand came further."""

    run_id: str
    version: int
    attempt: int
    progress: Progress


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
    """The store answered a beat that was sent at ``sent_at_s`` (boot-time clock)."""

    sent_at_s: float
    answer: Beat


class BeatFailed(Tell[Beating]):
    """The store did not answer a beat; the lease was not moved."""

    error: str


class Completing:
    """Address of the completer."""


class Flush(Tell[Completing]):
    """Look into the outbox and settle what lies there."""


class Acknowledged(Tell[Completing]):
    """The store settled the first outcomes of the outbox."""

    settled: tuple[Settled, ...]


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
    """The attempt ended."""

    result: Result


class Dispatching:
    """Address of the dispatcher."""


class Wake(Tell[Dispatching]):
    """A slot is free, or there may be something to claim."""


class ClaimAnswered(Tell[Dispatching]):
    """The store gave these runs to this worker."""

    claimed: tuple[Claimed, ...]


class ClaimFailed(Tell[Dispatching]):
    """The store did not answer a claim, or refused it."""

    error: str


class CancelHere(Tell[Dispatching]):
    """These runs should be cancelled, if one of our runners carries them."""

    run_ids: tuple[str, ...]


class Scheduling:
    """Address of the scheduler."""


class Tick(Tell[Scheduling]):
    """Do what is due."""


class Ticked(Tell[Scheduling]):
    """The store made or released these runs."""

    runs: tuple[Run, ...]


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


POOL = Name[PoolKeeping]("pool")
BROADCASTER = Name[Broadcasting]("broadcaster")
HEARTBEAT = Name[Beating]("heartbeat")
COMPLETER = Name[Completing]("completer")
DISPATCHER = Name[Dispatching]("dispatcher")
SCHEDULER = Name[Scheduling]("scheduler")
RESCUE = Name[Rescuing]("rescue")


def runner_name(slot: int) -> Name[Carrying]:
    """The name of the runner that owns a slot, counted from 0."""
    return Name[Carrying](f"runner-{slot}")
