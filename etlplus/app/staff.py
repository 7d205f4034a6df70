"""
The staff: this process as a worker, and the tree of its actors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import structlog

from etlplus.actors.bellman import Bellman, Earshot
from etlplus.actors.boards import Board
from etlplus.actors.broadcaster import Broadcaster
from etlplus.actors.bulletins import Press
from etlplus.actors.carriage import Executing
from etlplus.actors.clock import SharedClock
from etlplus.actors.completer import Completer
from etlplus.actors.correspondent import Correspondent
from etlplus.actors.crew import Crew
from etlplus.actors.dispatcher import Dispatcher
from etlplus.actors.duties import RescueDuty, Scheduler
from etlplus.actors.heartbeat import Heartbeat
from etlplus.actors.inspector import Inspector
from etlplus.actors.messages import (
    BELLMAN,
    BROADCASTER,
    COMPLETER,
    CORRESPONDENT,
    CREW,
    DISPATCHER,
    HEARTBEAT,
    INSPECTOR,
    POOL,
    RESCUE,
    RETENTION,
    SCHEDULER,
    SCRIBE,
    runner_name,
)
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.pool import PoolKeeper, StoreWatch
from etlplus.actors.retention import Retention
from etlplus.actors.runner import Runner
from etlplus.actors.scribe import Scribe
from etlplus.actors.standing import Slot, Standing
from etlplus.engines.contract import Lease, boottime_s
from etlplus.engines.tenancy import machine
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Worker
from etlplus.jobs.retention import Keep
from etlplus.runtime import Child, Crash, DeadLetter, Dynamic, Intensity, Name, Spawner, Supervisor, child, rest_for_one
from etlplus.settings import Settings
from etlplus.store.contract import Store

log = structlog.get_logger()

EDGE = Name[Spawner]("edge")
STOP_MARGIN_S = 10.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often the staff look of themselves, in seconds; whatever they are told of, they do at once.

    ``probe_s``: whether the store answers. ``poll_s``: whether there is something to claim, and ``poll_silent_s`` the same while
    the bells of other nodes do not arrive. ``tick_s``: whether something is due earlier than was known; others ring for what
    is due sooner than ``store.bells.SOON_S``. ``rescue_s``: whether a worker was lost.
    """

    probe_s: float = 5.0
    poll_s: float = 5.0
    poll_silent_s: float = 1.0
    tick_s: float = 1.0
    rescue_s: float = 5.0


def machine_time() -> datetime:
    """What this machine takes for the time."""
    return datetime.now(UTC)


def new_clock(machine_now: Callable[[], datetime] = machine_time) -> SharedClock:
    """The clock of a worker that has not asked its store yet."""
    return SharedClock(machine_now, boottime_s)


def new_standing(
    slots: int, *, labels: Sequence[str] = (), calls_max: int = 0, clock: SharedClock | None = None
) -> Standing:
    """This process as a worker that has not joined yet.

    Args:
        slots: Attempts that need a process, at a time.
        labels: What the worker is able to do.
        calls_max: Calls of functions, at a time.
        clock: What to go by; it should have asked the store.
    """
    ids, clock = Ids(Random()), clock or new_clock()

    def new_worker() -> Worker:
        node, boot_id = machine()
        moment = clock.now()
        return Worker(
            id=ids.new(moment),
            node=node,
            pid=os.getpid(),
            boot_id=boot_id,
            started_at=moment,
            beat_at=moment,
            expires_at=moment + timedelta(seconds=60),
            slots=slots,
            labels=tuple(labels),
        )

    return Standing(
        worker=new_worker(),
        lease=Lease(float("-inf")),
        slots=[Slot(number) for number in range(slots)],
        now=clock.now,
        boottime_s=boottime_s,
        new_worker=new_worker,
        calls_max=calls_max,
        clock=clock,
    )


def staff(
    store: Store,
    engine: Executing,
    standing: Standing,
    newsroom: Newsroom,
    settings: Settings,
    *,
    dead: Sequence[str] = (),
    rhythm: Rhythm = Rhythm(),
    watch: StoreWatch | None = None,
    earshot: Earshot | None = None,
    seen: Sequence[Board] = (),
) -> Supervisor:
    """
    The tree, in start order; it stops in exactly the reverse.

    Mailboxes, slots and the outbox outlive crashes, so one_for_one will do, but for the dispatcher: it hands runs to the
    carriers, and starts again whenever they do.
    """
    lease, watch = settings.lease, watch or StoreWatch(standing.now())
    earshot, press = earshot or Earshot(), Press(newsroom)

    return Supervisor(
        child(POOL, lambda: PoolKeeper(store, watch, standing.now, every_s=rhythm.probe_s, timeout_s=rhythm.probe_s)),
        child(BROADCASTER, lambda: Broadcaster(newsroom)),
        child(BELLMAN, lambda: Bellman(store, earshot)),
        child(CORRESPONDENT, lambda: Correspondent(store, standing, newsroom, press)),
        child(INSPECTOR, lambda: Inspector(seen)),
        child(HEARTBEAT, lambda: Heartbeat(store, standing, newsroom, beat_s=lease.beat_s, expiry_s=lease.expiry_s)),
        child(COMPLETER, lambda: Completer(store, standing, newsroom), shutdown=STOP_MARGIN_S),
        child(SCRIBE, lambda: Scribe(standing)),
        Supervisor(
            Supervisor(
                *_carriers(store, engine, standing, newsroom, settings), name="carriers", intensity=Intensity(10, 60.0)
            ),
            child(DISPATCHER, lambda: _dispatcher(store, standing, newsroom, earshot, settings, rhythm)),
            strategy=rest_for_one,
            name="work",
        ),
        _duties(store, standing, newsroom, settings, dead, rhythm),
        Dynamic(EDGE),
        name="staff",
    )


def _dispatcher(
    store: Store, standing: Standing, newsroom: Newsroom, earshot: Earshot, settings: Settings, rhythm: Rhythm
) -> Dispatcher:
    return Dispatcher(
        store,
        standing,
        newsroom,
        earshot,
        poll_s=rhythm.poll_s,
        poll_silent_s=rhythm.poll_silent_s,
        margin_s=settings.lease.beat_s,
    )


def _duties(
    store: Store, standing: Standing, newsroom: Newsroom, settings: Settings, dead: Sequence[str], rhythm: Rhythm
) -> Supervisor:
    grace_s = settings.lease.expiry_s
    return Supervisor(
        child(SCHEDULER, lambda: Scheduler(store, standing, newsroom, tick_s=rhythm.tick_s)),
        child(RETENTION, lambda: Retention(store, standing, _keep(settings))),
        child(
            RESCUE,
            lambda: RescueDuty(store, standing, newsroom, dead=dead, every_s=rhythm.rescue_s, grace_s=grace_s),
        ),
        name="duties",
    )


def _keep(settings: Settings) -> Keep:
    return Keep(age_s=settings.store.keep_days * DAY_S, size_bytes=settings.store.keep_bytes or None)


def _carriers(
    store: Store, engine: Executing, standing: Standing, newsroom: Newsroom, settings: Settings
) -> list[Child[Any]]:
    """A runner for each slot, and the crew for all calls of functions."""
    drain_s = settings.shutdown.drain_s
    runners = [
        child(
            runner_name(slot.number),
            lambda slot=slot: Runner(slot, engine, store, standing, newsroom, drain_s=drain_s),
            shutdown=drain_s + STOP_MARGIN_S,
        )
        for slot in standing.slots
    ]
    crew = child(
        CREW, lambda: Crew(engine, store, standing, newsroom, drain_s=drain_s), shutdown=drain_s + STOP_MARGIN_S
    )
    return [*runners, crew]


def log_crash(crash: Crash) -> None:
    """Tell whoever reads the log of a crash."""
    log.error(
        "actor_crashed",
        actor=crash.path,
        life=crash.life,
        message=crash.message_type,
        queued=crash.queued,
        uptime_s=round(crash.uptime_s, 3),
        exc_info=crash.error,
    )


def log_dead_letter(letter: DeadLetter) -> None:
    """The same for a message that nobody handled."""
    log.warning("message_not_handled", actor=letter.path, message=type(letter.message).__name__, why=letter.why)
