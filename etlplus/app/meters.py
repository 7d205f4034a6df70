"""
Where each metric of the catalog is read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import trio

from etlplus.actors.bellman import Earshot
from etlplus.actors.pool import StoreWatch
from etlplus.runtime import System
from etlplus.service.house import House
from etlplus.store.contract import AdminStore
from etlplus.telemetry import Lateness, Meters, catalog
from etlplus.telemetry.meters import Reading


@asynccontextmanager
async def measured() -> AsyncGenerator[Lateness]:
    """The lateness of the loop, measured until the house is closed."""
    lateness = Lateness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lateness.watch)
        yield lateness
        nursery.cancel_scope.cancel()


def connect_house(meters: Meters, house: House, lateness: Lateness) -> None:
    """The worker, its watchers and its loop."""
    standing, watchers = house.standing, house.newsroom.watchers
    meters.read(catalog.SLOTS, lambda: len(standing.slots))
    meters.read(catalog.SLOTS_BUSY, lambda: standing.busy)
    meters.read(catalog.OUTCOMES_WAITING, lambda: len(standing.outbox))
    meters.read(catalog.STALE_RESULTS, lambda: standing.stale_results)
    meters.read(catalog.CALLS_DEAF, lambda: len(standing.deaf))
    meters.read(catalog.LEASE_LEFT, lambda: max(standing.lease.deadline - standing.boottime_s(), 0.0))
    meters.read(catalog.WATCHERS, lambda: len(watchers))
    meters.read(catalog.WATCHERS_LET_GO, lambda: watchers.let_go)
    meters.read(catalog.NEWS, lambda: house.newsroom.last)
    meters.read(catalog.UPTIME, lambda: (standing.now() - house.started_at).total_seconds())
    meters.read(catalog.LOOP_LATENESS, lambda: lateness.seconds)


def connect_runtime(meters: Meters, system: System) -> None:
    """What the actors do with their messages."""
    meters.read(catalog.ACTORS, lambda: system.statistics().actors)
    meters.read(catalog.ACTOR_CRASHES, lambda: system.statistics().crashes)
    meters.read(catalog.MESSAGES, lambda: system.statistics().sent)
    meters.read(catalog.MESSAGES_QUEUED, lambda: system.statistics().queued)
    meters.read(catalog.MESSAGES_DEAD, lambda: system.statistics().dead_letters)
    meters.read(catalog.MESSAGES_UNACCOUNTED, lambda: system.statistics().unaccounted)


def connect_store(meters: Meters, watch: StoreWatch, now: Callable[[], datetime]) -> None:
    """How the store was when its keeper last looked."""
    meters.read(catalog.STORE_OUTAGE, lambda: 0.0 if watch.view.up else (now() - watch.view.since).total_seconds())
    meters.read(catalog.STORE_UP, lambda: float(watch.view.up))
    meters.read(catalog.STORE_LATENCY, lambda: watch.view.latency_s)
    meters.read(catalog.STORE_OUTAGES, lambda: watch.view.outages)
    meters.read(catalog.STORE_OLDEST_SNAPSHOT, lambda: {watch.view.horizon.culprit or "": watch.view.horizon.oldest_s})
    meters.read(catalog.STORE_DEAD_ROWS, lambda: watch.view.horizon.dead_ratio)


def connect_bells(meters: Meters, earshot: Earshot) -> None:
    """Whether nodes hear each other."""
    meters.read(catalog.BELLS_ARRIVE, lambda: float(earshot.arrive or False))
    meters.read(catalog.BELLS_RUNG, lambda: earshot.rung)
    meters.read(catalog.BELLS_HEARD, lambda: earshot.heard)
    meters.read(catalog.BELLS_SILENCES, lambda: earshot.silences)


def connect_lanes(meters: Meters, store: AdminStore) -> None:
    """The connections to the store, by lane."""

    def each(figure: str) -> Reading:
        return lambda: {lane: getattr(figures, figure) for lane, figures in store.lanes().items()}

    meters.read(catalog.STORE_CONNECTIONS_IN_USE, each("in_use"))
    meters.read(catalog.STORE_CONNECTIONS_IDLE, each("idle"))
    meters.read(catalog.STORE_CONNECTIONS_OPENED, each("opened"))
    meters.read(catalog.STORE_CONNECTIONS_CLOSED, each("closed"))
    meters.read(catalog.STORE_UNITS_WAITING, each("waiting"))
    meters.read(catalog.STORE_CONNECTION_WAIT, each("waits"))
