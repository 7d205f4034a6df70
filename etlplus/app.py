"""
The fuse box: opens the rooms in order, builds the tree of actors, and closes everything again.

``open_service`` is the product: the whole service inside somebody else's nursery. The daemon is a guest of it. Everything
lives in one background task with a shield of its own, so that an outer cancellation drains the house in order instead of
cutting every wire at once.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import structlog
import trio
from prometheus_client import CollectorRegistry

import etlplus
from etlplus.actors.broadcaster import Broadcaster, Newsroom
from etlplus.actors.completer import Completer
from etlplus.actors.dispatcher import Dispatcher
from etlplus.actors.duties import RescueDuty, Scheduler
from etlplus.actors.heartbeat import Heartbeat
from etlplus.actors.messages import (
    BROADCASTER,
    COMPLETER,
    DISPATCHER,
    HEARTBEAT,
    POOL,
    RESCUE,
    SCHEDULER,
    runner_name,
)
from etlplus.actors.pool import PoolKeeper, StoreWatch
from etlplus.actors.runner import Runner
from etlplus.actors.standing import Slot, Standing
from etlplus.engines.contract import Engine, Lease, boottime_s
from etlplus.engines.local import LocalOptions, open_local
from etlplus.engines.tenancy import hold, machine
from etlplus.jobs.ids import Ids
from etlplus.jobs.model import Worker
from etlplus.runtime import (
    Crash,
    DeadLetter,
    Dynamic,
    Intensity,
    Name,
    Spawner,
    Supervisor,
    child,
    lone,
    open_system,
    rest_for_one,
)
from etlplus.service.bootstrap import Bootstrap
from etlplus.service.house import House
from etlplus.service.local import Service
from etlplus.service.passwords import Passwords
from etlplus.service.tokens import TokenService, kept_secret
from etlplus.settings import Settings
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.telemetry import Lateness, Meters, catalog

if TYPE_CHECKING:
    from etlplus.runtime import System

log = structlog.get_logger()

EDGE = Name[Spawner]("edge")
PROBE_S = 5.0
POLL_S = 1.0
TICK_S = 1.0
RESCUE_S = 5.0
STOP_MARGIN_S = 10.0
WEDGED_EXIT = 70


@asynccontextmanager
async def open_service(settings: Settings | None = None, *, edge: bool = False) -> AsyncGenerator[Service]:
    """
    The whole service, for as long as the block runs.

    Args:
        settings: Options; the defaults keep everything in the folder ``data``.
        edge: Also listen for REST and for the live monitoring, as the daemon does.

    Cancellation: cancelling the block drains: runs in hand may finish within ``shutdown.drain_s``, what remains returns
    to its queue; no process, thread or task is left.

    Raises:
        Conflict: another service holds the data directory.
        Misconfigured, StoreUnavailable: the store cannot be opened.
    """
    try:
        async with trio.open_nursery() as nursery:
            leave = trio.Event()
            service = await nursery.start(_keep_house, settings or Settings(), edge, leave)
            try:
                yield service
            finally:
                leave.set()
    except BaseExceptionGroup as group:
        error = lone(group)
        raise error from error.__cause__


async def _keep_house(
    settings: Settings, edge: bool, leave: trio.Event, *, task_status: trio.TaskStatus[Service]
) -> None:
    """The house's one task: open, shield, serve, close in reverse."""
    data_dir = _data_dir(settings)
    with trio.CancelScope() as scope, hold(data_dir), ExitStack() as closing:
        slots = settings.engine.slots or os.cpu_count() or 1
        options = LocalOptions(data_dir=data_dir, slots=slots, memory_limit_bytes=settings.engine.memory_limit_bytes)
        url = settings.store.url or f"sqlite:{data_dir / 'store.sqlite'}"
        async with _measured() as lateness, open_store(url) as store, open_local(options) as engine:
            standing = new_standing(slots)
            newsroom, watch = Newsroom(standing.now), StoreWatch()
            tree = staff(store, engine, standing, newsroom, settings, dead=await _predecessors(store), watch=watch)
            budget_s = settings.shutdown.drain_s + STOP_MARGIN_S
            async with open_system(
                tree, name="etlplus", drain=budget_s, on_crash=_log_crash, on_dead_letter=_log_dead_letter
            ) as system:
                house = _furnish(settings, data_dir, store, engine, standing, newsroom, system, lateness, watch)
                service = Service(house)
                if edge:
                    await _offer_bootstrap(house)
                    from etlplus.web.edge import EdgeOptions, open_edge

                    options = EdgeOptions(
                        host=settings.server.host,
                        port=settings.server.port,
                        body_max_bytes=settings.server.body_max_bytes,
                        connections_max=settings.server.connections_max,
                        monitoring_host=settings.monitoring.websocket.host,
                        monitoring_port=settings.monitoring.websocket.port,
                        watchers_max=settings.monitoring.websocket.connections_max,
                        heartbeat_s=settings.monitoring.websocket.heartbeat_s,
                    )
                    await open_edge(service, system.ref(EDGE), options, closing)
                scope.shield = True
                task_status.started(service)
                await leave.wait()
            await store.leave(standing.worker.id, now=standing.now())


@asynccontextmanager
async def _measured() -> AsyncGenerator[Lateness]:
    """The lateness of the loop, measured until the house is closed."""
    lateness = Lateness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lateness.watch)
        yield lateness
        nursery.cancel_scope.cancel()


def _data_dir(settings: Settings) -> Path:
    return Path(settings.data_dir).absolute()


def new_standing(slots: int) -> Standing:
    """This process as a worker that has not joined yet."""
    ids = Ids(Random())

    def now() -> datetime:
        return datetime.now(UTC)

    def new_worker() -> Worker:
        node, boot_id = machine()
        moment = now()
        return Worker(
            id=ids.new(moment),
            node=node,
            pid=os.getpid(),
            boot_id=boot_id,
            started_at=moment,
            beat_at=moment,
            expires_at=moment + timedelta(seconds=60),
            slots=slots,
        )

    return Standing(
        worker=new_worker(),
        lease=Lease(float("-inf")),
        slots=[Slot(number) for number in range(slots)],
        now=now,
        boottime_s=boottime_s,
        new_worker=new_worker,
    )


def staff(
    store: Store,
    engine: Engine,
    standing: Standing,
    newsroom: Newsroom,
    settings: Settings,
    *,
    dead: Sequence[str] = (),
    watch: StoreWatch | None = None,
) -> Supervisor:
    """
    The tree, in start order; it stops in exactly the reverse.

    Mailboxes, slots and the outbox outlive crashes, so one_for_one will do, but for the dispatcher: it hands runs to the
    runners, and starts again whenever they do.
    """
    drain_s, lease = settings.shutdown.drain_s, settings.lease
    runners = [
        child(
            runner_name(slot.number),
            lambda slot=slot: Runner(slot, store, engine, standing, drain_s=drain_s),
            shutdown=drain_s + STOP_MARGIN_S,
        )
        for slot in standing.slots
    ]
    return Supervisor(
        child(POOL, lambda: PoolKeeper(store, watch or StoreWatch(), every_s=PROBE_S, timeout_s=PROBE_S)),
        child(BROADCASTER, lambda: Broadcaster(newsroom)),
        child(HEARTBEAT, lambda: Heartbeat(store, standing, beat_s=lease.beat_s, expiry_s=lease.expiry_s)),
        child(COMPLETER, lambda: Completer(store, standing), shutdown=STOP_MARGIN_S),
        Supervisor(
            Supervisor(*runners, name="runners", intensity=Intensity(10, 60.0)),
            child(DISPATCHER, lambda: Dispatcher(store, standing, poll_s=POLL_S, margin_s=lease.beat_s)),
            strategy=rest_for_one,
            name="work",
        ),
        Supervisor(
            child(SCHEDULER, lambda: Scheduler(store, standing, tick_s=TICK_S)),
            child(
                RESCUE,
                lambda: RescueDuty(store, standing, dead=dead, every_s=RESCUE_S, grace_s=lease.expiry_s),
            ),
            name="duties",
        ),
        Dynamic(EDGE),
        name="staff",
    )


async def _offer_bootstrap(house: House) -> None:
    """Let somebody become the first admin. Only a service with a front door needs that; an embedder is the owner."""
    if not await house.store.has_users():
        house.bootstrap.issue()
        log.info("bootstrap_token_issued", file=str(house.bootstrap.path))


def _furnish(
    settings: Settings,
    data_dir: Path,
    store: Store,
    engine: Engine,
    standing: Standing,
    newsroom: Newsroom,
    system: System,
    lateness: Lateness,
    watch: StoreWatch,
) -> House:
    secret = settings.auth.secret or kept_secret(data_dir / "token-secret")
    registry = CollectorRegistry()
    house = House(
        store=store,
        engine=engine,
        standing=standing,
        newsroom=newsroom,
        broadcaster=system.ref(BROADCASTER),
        dispatcher=system.ref(DISPATCHER),
        pool=system.ref(POOL),
        tree=system.tree,
        tokens=TokenService(secret, ttl_s=settings.auth.token_ttl_s),
        passwords=Passwords(),
        bootstrap=Bootstrap(data_dir / "bootstrap-token"),
        registry=registry,
        data_dir=data_dir,
        node=standing.worker.node,
        epoch=standing.worker.id,
        version=etlplus.__version__,
        started_at=standing.now(),
    )
    meters = Meters(registry)
    _connect_meters(meters, house, lateness)
    _connect_runtime(meters, system)
    _connect_store(meters, watch)
    return house


def _connect_meters(meters: Meters, house: House, lateness: Lateness) -> None:
    """Say where each metric of the catalog is read."""
    standing, watchers = house.standing, house.newsroom.watchers
    meters.read(catalog.SLOTS, lambda: len(standing.slots))
    meters.read(catalog.SLOTS_BUSY, lambda: standing.busy)
    meters.read(catalog.OUTCOMES_WAITING, lambda: len(standing.outbox))
    meters.read(catalog.STALE_RESULTS, lambda: standing.stale_results)
    meters.read(catalog.LEASE_LEFT, lambda: max(standing.lease.deadline - standing.boottime_s(), 0.0))
    meters.read(catalog.WATCHERS, lambda: len(watchers))
    meters.read(catalog.WATCHERS_LET_GO, lambda: watchers.let_go)
    meters.read(catalog.NEWS, lambda: house.newsroom.last)
    meters.read(catalog.UPTIME, lambda: (standing.now() - house.started_at).total_seconds())
    meters.read(catalog.LOOP_LATENESS, lambda: lateness.seconds)


def _connect_runtime(meters: Meters, system: System) -> None:
    """The same for what the actors do with their messages."""
    meters.read(catalog.ACTORS, lambda: system.statistics().actors)
    meters.read(catalog.ACTOR_CRASHES, lambda: system.statistics().crashes)
    meters.read(catalog.MESSAGES, lambda: system.statistics().sent)
    meters.read(catalog.MESSAGES_QUEUED, lambda: system.statistics().queued)
    meters.read(catalog.DEAD_LETTERS, lambda: system.statistics().dead_letters)
    meters.read(catalog.MESSAGES_UNACCOUNTED, lambda: system.statistics().unaccounted)


def _connect_store(meters: Meters, watch: StoreWatch) -> None:
    """The same for how the store was when its keeper last looked."""
    meters.read(catalog.STORE_UP, lambda: float(watch.view.up))
    meters.read(catalog.STORE_LATENCY, lambda: watch.view.latency_s)
    meters.read(catalog.STORE_OUTAGES, lambda: watch.view.outages)
    meters.read(catalog.STORE_OLDEST_SNAPSHOT, lambda: {watch.view.horizon.culprit or "": watch.view.horizon.oldest_s})
    meters.read(catalog.STORE_DEAD_ROWS, lambda: watch.view.horizon.dead_ratio)


async def _predecessors(store: Store) -> tuple[str, ...]:
    """Workers that cannot live any more: this process holds the data directory, and the store lies in it."""
    return tuple(worker.id for worker in await store.workers())


def _log_crash(crash: Crash) -> None:
    log.error(
        "actor_crashed",
        actor=crash.path,
        life=crash.life,
        message=crash.message_type,
        queued=crash.queued,
        uptime_s=round(crash.uptime_s, 3),
        exc_info=crash.error,
    )


def _log_dead_letter(letter: DeadLetter) -> None:
    log.warning("message_not_handled", actor=letter.path, message=type(letter.message).__name__, why=letter.why)


async def serve(settings: Settings) -> int:
    """
    The daemon: the service with its edge, until SIGTERM or SIGINT.

    The first signal drains. The second cancels what is in hand, which returns it to its queue. Should something ignore
    even that, the stacks of all tasks are written and the process ends with status 70.

    Returns:
        The exit status: 0 after an orderly stop.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_service(settings, edge=True) as service:
            ports = service.house.ports
            log.info("serving", rest=ports.rest, monitoring=ports.monitoring, data_dir=str(service.house.data_dir))
            await anext(signals)
            log.info("draining", drain_s=settings.shutdown.drain_s)
            trio.lowlevel.spawn_system_task(_watch_stop, signals, service, settings.shutdown.drain_s)
    log.info("stopped")
    return 0


async def _watch_stop(signals: AsyncIterator[int], service: Service, drain_s: float) -> None:
    """A second signal skips draining; a stop that takes far too long ends the process."""
    with trio.move_on_after(drain_s + 2 * STOP_MARGIN_S):
        await anext(signals)
        log.warning("draining_skipped")
        service.house.standing.hurry.set()
        await trio.sleep(2 * STOP_MARGIN_S)
    for task in _all_tasks():
        sys.stderr.write(f"{task.name}:\n{''.join(traceback.StackSummary.extract(task.iter_await_frames()).format())}")
    sys.stderr.flush()
    os._exit(WEDGED_EXIT)


def _all_tasks() -> list[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    tasks: list[trio.lowlevel.Task] = []
    waiting = [root] if root is not None else []
    while waiting:
        task = waiting.pop()
        tasks.append(task)
        waiting += [each for nursery in task.child_nurseries for each in nursery.child_tasks]
    return tasks
