"""
Opening the service: the rooms in order, in one background task with a shield of its own, so that an outer cancellation drains
the house in order instead of cutting every wire at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog
import trio
from prometheus_client import CollectorRegistry

import etlplus
from etlplus.actors.bellman import Earshot
from etlplus.actors.boards import Board, boards
from etlplus.actors.clock import SharedClock
from etlplus.actors.messages import BROADCASTER, DISPATCHER, POOL
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.pool import StoreWatch
from etlplus.actors.standing import Standing
from etlplus.app import place
from etlplus.app.meters import connect_bells, connect_house, connect_lanes, connect_runtime, connect_store, measured
from etlplus.app.staff import (
    EDGE,
    STOP_MARGIN_S,
    log_crash,
    log_dead_letter,
    machine_time,
    new_clock,
    new_standing,
    staff,
)
from etlplus.engines.commands import Commands
from etlplus.engines.functions import Function, Functions
from etlplus.engines.local import LocalOptions, open_local
from etlplus.engines.tenancy import hold, is_gone
from etlplus.engines.workshop import Workshop
from etlplus.errors import Conflict, NotFound, Unavailable
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.model import Job, JobDraft
from etlplus.runtime import System, open_system, unwrapped
from etlplus.service.bootstrap import Bootstrap
from etlplus.service.house import House
from etlplus.service.local import Service
from etlplus.service.passwords import Passwords
from etlplus.service.tokens import TokenService, kept_secret
from etlplus.settings import Settings
from etlplus.store.contract import Store
from etlplus.store.opening import open_store
from etlplus.store.pooling import Pooling
from etlplus.telemetry import Lateness, Meters

log = structlog.get_logger()


@asynccontextmanager
async def open_service(
    settings: Settings | None = None,
    *,
    functions: Sequence[Function[Any]] = (),
    edge: bool = False,
    clock: Callable[[], datetime] = machine_time,
) -> AsyncGenerator[Service]:
    """
    The whole service, for as long as the block runs.

    Args:
        settings: Options; the defaults keep everything in the folder ``data``.
        functions: Functions of the program that are jobs, made by ``etlplus.job``; each is stored as one.
        edge: Also listen for REST and for the live monitoring, as the daemon does.
        clock: What this machine takes for the time, aware; unless told, that of the system. Nodes that share a store go
            by the clock of the store.

    Cancellation: cancelling the block drains: runs in hand may finish within ``shutdown.drain_s``, what remains returns
    to its queue; no process, thread or task is left.

    Raises:
        Conflict: another service holds the data directory.
        Misconfigured, StoreUnavailable: the store cannot be opened.
        Invalid: the job of a function names a queue or a limit that does not exist.
    """
    with unwrapped():
        async with trio.open_nursery() as nursery:
            leave = trio.Event()
            called = Functions(functions)
            service = await nursery.start(_keep_house, settings or Settings(), called, edge, leave, clock)
            try:
                yield service
            finally:
                leave.set()


async def _keep_house(
    settings: Settings,
    functions: Functions,
    edge: bool,
    leave: trio.Event,
    clock: Callable[[], datetime],
    *,
    task_status: trio.TaskStatus[Service],
) -> None:
    """The house's one task: open, shield, serve, close in reverse."""
    data_dir, url = place.data_dir(settings), place.store_url(settings)
    slots = settings.engine.slots or os.cpu_count() or 1
    options = LocalOptions(
        data_dir=data_dir,
        slots=slots,
        spares=slots if settings.engine.spares else 0,
        memory_limit_bytes=settings.engine.memory_limit_bytes,
    )
    pooling = msgspec.convert(settings.store.postgres, Pooling, from_attributes=True)
    with trio.CancelScope() as scope, hold(data_dir), ExitStack() as closing:
        async with measured() as lateness, open_store(url, pooling=pooling) as store, open_local(options) as loads:
            workshop = Workshop(loads, functions, Commands(data_dir / "children"))
            shared = new_clock(clock)
            await shared.look(store)
            standing = _standing(settings, slots, functions, shared)
            newsroom, watch, earshot = Newsroom(standing.now), StoreWatch(standing.now()), Earshot()
            jobs = await _store_jobs(store, functions, standing)
            dead, seen = await _predecessors(store, url), boards(store, newsroom)
            tree = staff(
                store, workshop, standing, newsroom, settings, dead=dead, watch=watch, earshot=earshot, seen=seen
            )
            budget_s = settings.shutdown.drain_s + STOP_MARGIN_S
            async with open_system(
                tree, name="etlplus", drain=budget_s, on_crash=log_crash, on_dead_letter=log_dead_letter
            ) as system:
                house = _furnish(settings, data_dir, store, workshop, standing, newsroom, seen, earshot, system)
                for job in jobs:
                    house.known_jobs.put(job.name, job)
                _measure(house, system, lateness, watch)
                service = Service(house)
                if edge:
                    await _open_edge(service, settings, system, closing)
                scope.shield = True
                task_status.started(service)
                await leave.wait()
            await _leave(store, standing)


async def _leave(store: Store, standing: Standing) -> None:
    """Say that this worker is gone. Where nobody hears it, the end of its lease says so."""
    try:
        await store.leave(standing.worker.id, now=standing.now())
    except Unavailable as error:
        log.warning("left_unheard", worker=standing.worker.id, error=str(error))


def _standing(settings: Settings, slots: int, functions: Functions, clock: SharedClock) -> Standing:
    calls = [CALLS + (draft.python or "") for draft in functions.drafts]
    labels = sorted([*filter(None, settings.engine.labels.split(",")), *calls])
    return new_standing(slots, labels=labels, calls_max=settings.engine.calls_max if calls else 0, clock=clock)


async def _store_jobs(store: Store, functions: Functions, standing: Standing) -> list[Job]:
    """Store each function as a job, or its next version if its options have changed."""
    jobs: list[Job] = []
    for draft in functions.drafts:
        while (job := await _try_to_store(store, draft, standing)) is None:
            pass
        jobs.append(job)
    return jobs


async def _try_to_store(store: Store, draft: JobDraft, standing: Standing) -> Job | None:
    """The job as its function says; None if another node, starting too, was faster, so that one has to look again."""
    job = await store.job_named(draft.name)
    if job is not None and all(getattr(job, option) == getattr(draft, option) for option in draft.__struct_fields__):
        return job
    try:
        if job is None:
            return await store.save_job(draft, now=standing.now())
        return await store.save_job(draft, now=standing.now(), job_id=job.id, expected_version=job.version)
    except (Conflict, NotFound):
        return None


async def _predecessors(store: Store, url: str) -> tuple[str, ...]:
    """Workers that cannot live any more: of a store in the data directory all, since only one process holds that; of a
    shared one, those of this machine whose process is gone.
    """
    alone = url.startswith("sqlite:")
    return tuple(worker.id for worker in await store.workers() if alone or is_gone(worker))


async def _open_edge(service: Service, settings: Settings, system: System, closing: ExitStack) -> None:
    """Listen; and let somebody become the first admin. Only a service with a front door needs that: an embedder is the
    owner. The web room is imported only here.
    """
    from etlplus.web.edge import EdgeOptions, open_edge

    if not await service.house.store.has_users():
        service.house.bootstrap.issue()
        log.info("bootstrap_token_issued", file=str(service.house.bootstrap.path))
    live = settings.monitoring.websocket
    options = EdgeOptions(
        host=settings.server.host,
        port=settings.server.port,
        body_max_bytes=settings.server.body_max_bytes,
        connections_max=settings.server.connections_max,
        monitoring_host=live.host,
        monitoring_port=live.port,
        watchers_max=live.connections_max,
        heartbeat_s=live.heartbeat_s,
    )
    await open_edge(service, system.ref(EDGE), options, closing)


def _furnish(
    settings: Settings,
    data_dir: Path,
    store: Store,
    workshop: Workshop,
    standing: Standing,
    newsroom: Newsroom,
    seen: Sequence[Board],
    earshot: Earshot,
    system: System,
) -> House:
    secret = settings.auth.secret or kept_secret(data_dir / place.SECRET)
    return House(
        store=store,
        workshop=workshop,
        standing=standing,
        newsroom=newsroom,
        boards=seen,
        earshot=earshot,
        broadcaster=system.ref(BROADCASTER),
        dispatcher=system.ref(DISPATCHER),
        pool=system.ref(POOL),
        tree=system.tree,
        tokens=TokenService(secret, ttl_s=settings.auth.token_ttl_s),
        passwords=Passwords(),
        bootstrap=Bootstrap(data_dir / "bootstrap-token"),
        registry=CollectorRegistry(),
        data_dir=data_dir,
        node=standing.worker.node,
        epoch=standing.worker.id,
        version=etlplus.__version__,
        started_at=standing.now(),
    )


def _measure(house: House, system: System, lateness: Lateness, watch: StoreWatch) -> None:
    meters = Meters(house.registry)
    connect_house(meters, house, lateness)
    connect_runtime(meters, system)
    connect_store(meters, watch, house.now)
    connect_lanes(meters, house.store)
    connect_bells(meters, house.earshot)
