"""
Whole runs through the whole engine: no-op functions, from the queue to the stored outcome, acknowledgement included.

One process with default settings, called in process, against the store's own claim and acknowledgement called one after the
other; and what else is asked of runs, on the same store: how soon they start, how much limits, saturated keys, schedules and a
long history cost. Peers are in ``bench peers``; what the past costs on PostgreSQL is in ``bench history``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import trio

import etlplus
from bench import store as stores
from bench import ticks
from bench.fresh import fresh_store
from bench.growth import claim_growth
from bench.measure import Figures, best_times
from etlplus.actors.messages import Wake
from etlplus.actors.news import News, RunNews
from etlplus.jobs.model import NewRun, RunState
from etlplus.jobs.queues import HOUSE, LimitDraft, QueueMode
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings, Store
from etlplus.testing.servers import private_postgres

RUNS = 20_000
BULK = 5_000
REPETITIONS = 5
LATENCY_RUNS = 2_000
WARM_UP = 200
"""Starts of a service that has only just opened wait for its first connections and statements; they are told apart."""
LATENCY_PER_S = 500
CHAIN = 40
AT_ONCE = 100


executed: list[str] = []


@etlplus.job("nothing")
async def nothing(context: etlplus.RunContext) -> None:
    """Notes that it was called, and does nothing."""
    executed.append(context.run_id)


@asynccontextmanager
async def opened(server: str, *functions: Any) -> AsyncGenerator[Service]:
    """A service with default settings, in a folder and on a store of its own: a database of this server, or a file."""
    with tempfile.TemporaryDirectory(prefix="runs-") as folder, fresh_store(server) as url:
        settings = Settings(data_dir=str(Path(folder) / "data"), store=Store(url=url), engine=Engine(slots=1))
        async with etlplus.open_service(settings, functions=[nothing, *functions]) as service:
            yield service


async def fill(service: Service, runs: int) -> None:
    """Enqueue so many runs while the queue is paused."""
    job = await service.house.store.job_named("nothing")
    assert job is not None
    await service.house.store.set_queue_mode("default", QueueMode.PAUSED, now=service.house.now())
    for first in range(0, runs, BULK):
        wishes = [NewRun(job_id=job.id)] * min(BULK, runs - first)
        await service.house.store.enqueue(wishes, now=service.house.now())


async def drained_s(service: Service, runs: int) -> float:
    """Open the queue, and count the seconds until every run is stored as succeeded.

    The store is not asked meanwhile, since counting costs it: what is not carried and not in the outbox is stored.
    """
    house, store = service.house, service.house.store
    wanted = (await store.counts()).runs[RunState.SUCCEEDED] + runs
    executed.clear()
    await store.set_queue_mode("default", QueueMode.OPEN, now=house.now())
    house.dispatcher.tell(Wake())
    began = time.perf_counter()
    while len(executed) < runs or house.standing.outbox or house.standing.aboard:  # noqa: ASYNC110 - nothing tells of that
        await trio.sleep(0.005)
    took_s = time.perf_counter() - began
    assert (await store.counts()).runs[RunState.SUCCEEDED] == wanted
    return took_s


def burn_s(server: str, *, at_once: int | None = None) -> float:
    """Seconds per run through the whole engine; ``at_once`` limits how many run at a time, in the whole house."""

    async def main() -> float:
        async with opened(server) as service:
            if at_once is not None:
                await service.house.store.save_limit(LimitDraft(name=HOUSE, slots=at_once), now=service.house.now())
            await fill(service, RUNS)
            seconds = await drained_s(service, RUNS) / RUNS
            if at_once is not None:
                await service.house.store.delete_limit(HOUSE, now=service.house.now())
            return seconds

    return trio.run(main)


def serial_s(server: str) -> float:
    """Seconds per run for the store's own claim and acknowledge, one after the other."""
    with fresh_store(server) as url:
        return stores.store_s(url)


def latencies_ms(server: str) -> list[float]:
    """From just before a run is asked for to the first line of its function, at a steady rate, in the order of asking."""
    asked: dict[int, float] = {}
    begun: dict[int, float] = {}
    done = trio.Event()

    @etlplus.job("stamp")
    async def stamp(context: etlplus.RunContext, number: int) -> None:
        begun[number] = time.perf_counter()
        if len(begun) == WARM_UP + LATENCY_RUNS:
            done.set()

    async def ask(service: Service, number: int) -> None:
        asked[number] = time.perf_counter()
        await service.runs.start("stamp", {"number": number})

    async def main() -> None:
        async with opened(server, stamp) as service, trio.open_nursery() as nursery:
            start = trio.current_time()
            for number in range(WARM_UP + LATENCY_RUNS):
                await trio.sleep_until(start + number / LATENCY_PER_S)
                nursery.start_soon(ask, service, number)
            await done.wait()

    trio.run(main)
    return [(begun[number] - asked[number]) * 1e3 for number in sorted(begun)]


def chain_s(server: str) -> float:
    """Seconds for 40 runs, each asked for when the one before has finished."""

    async def main() -> float:
        async with opened(server) as service, service.events.watch(capacity=10_000) as feed:
            news = aiter(feed)
            began = time.perf_counter()
            for _ in range(CHAIN):
                run = await service.runs.start("nothing", {})
                while True:
                    told = msgspec.json.decode(await anext(news), type=News)
                    if isinstance(told, RunNews) and told.run.id == run.id and told.run.finished:
                        break
            return time.perf_counter() - began

    return trio.run(main)


def measure(figures: Figures, store: str) -> None:
    """All figures of runs on one store, "postgres" or "sqlite"; peers have a bench of their own."""
    if store == "sqlite":
        _measure(figures, "")
        figures.ratio("claim_growth", *claim_growth())
    else:
        # A server that has run for a while reuses its log files; filling new ones with zeros is not what we measure.
        with private_postgres(wal_init_zero="off") as server:
            _measure(figures, server)


def _measure(figures: Figures, server: str) -> None:
    whole, limited, serial = best_times(
        lambda: burn_s(server),
        lambda: burn_s(server, at_once=AT_ONCE),
        lambda: serial_s(server),
        repetitions=REPETITIONS,
    )
    figures.ratio("burn_vs_bare_sql", serial, whole)
    figures.note("burn_per_s", 1 / min(whole), [1 / max(whole), 1 / min(whole)])
    figures.ratio("limit_cost", whole, limited)
    all_taken = [latencies_ms(server) for _ in range(REPETITIONS)]
    first = [max(times[:WARM_UP]) for times in all_taken]
    figures.note("start_latency_of_a_new_service_ms", min(first), [min(first), max(first)])
    taken = [times[WARM_UP:] for times in all_taken]
    for share in (50, 99):
        each = [sorted(times)[len(times) * share // 100] for times in taken]
        figures.note(f"start_latency_p{share}_ms", min(each), [min(each), max(each)])
    chains = [chain_s(server) for _ in range(REPETITIONS)]
    figures.note("chain40_s", min(chains), [min(chains), max(chains)])
    with fresh_store(server) as url:
        stores.saturated(figures, "saturated_{}_cost", url, LimitDraft(name="customer", slots=1))
    with fresh_store(server) as url:
        late_ms, _ = trio.run(ticks.lateness_ms, url)
        figures.note("schedules_100k_tick_ms", ticks.p99(late_ms), [statistics.median(late_ms), max(late_ms)])
