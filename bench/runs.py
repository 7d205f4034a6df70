"""
Whole runs through the whole engine: no-op functions, from the queue to the stored outcome, acknowledgement included.

One process with default settings, called in process, on both stores; against the store's own claim and acknowledgement called
one after the other, and against peers, each in an environment of its own (``bench.peers``).
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
from bench.measure import Figures, best_times
from bench.peers import PEERS, Burned, burn
from etlplus.actors.messages import Wake
from etlplus.actors.news import News, RunNews
from etlplus.jobs.model import NewRun, RunState
from etlplus.jobs.queues import HOUSE, LimitDraft, QueueMode
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings, Store
from etlplus.testing.servers import private_postgres, private_valkey

RUNS = 20_000
BULK = 5_000
REPETITIONS = 5
LATENCY_RUNS = 2_000
LATENCY_PER_S = 500
CHAIN = 40
AT_ONCE = 100
COUNTED = ("pgqueuer", "pgqueuer-tuned", "dramatiq", "celery", "procrastinate", "oban", "dbos")


executed: list[str] = []


@etlplus.job("nothing")
async def nothing(context: etlplus.RunContext) -> None:
    """Notes that it was called, and does nothing."""
    executed.append(context.run_id)


@asynccontextmanager
async def opened(url: str, *functions: Any) -> AsyncGenerator[Service]:
    """A service with default settings in a folder of its own; an empty address is the embedded store."""
    with tempfile.TemporaryDirectory(prefix="runs-") as folder:
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


def burn_s(url: str, *, at_once: int | None = None) -> float:
    """Seconds per run through the whole engine; ``at_once`` limits how many run at a time, in the whole house."""

    async def main() -> float:
        async with opened(url) as service:
            if at_once is not None:
                await service.house.store.save_limit(LimitDraft(name=HOUSE, slots=at_once), now=service.house.now())
            await fill(service, RUNS)
            seconds = await drained_s(service, RUNS) / RUNS
            if at_once is not None:
                await service.house.store.delete_limit(HOUSE, now=service.house.now())
            return seconds

    return trio.run(main)


def serial_s(url: str) -> float:
    """Seconds per run for the store's own claim and acknowledge, one after the other."""
    if url:
        return stores.store_s(url)
    with tempfile.TemporaryDirectory(prefix="runs-") as folder:
        return stores.store_s(f"sqlite:{folder}/store.sqlite")


def latencies_ms(url: str) -> list[float]:
    """From just before a run is asked for to the first line of its function, at a steady rate."""
    asked: dict[int, float] = {}
    begun: dict[int, float] = {}
    done = trio.Event()

    @etlplus.job("stamp")
    async def stamp(context: etlplus.RunContext, number: int) -> None:
        begun[number] = time.perf_counter()
        if len(begun) == LATENCY_RUNS:
            done.set()

    async def ask(service: Service, number: int) -> None:
        asked[number] = time.perf_counter()
        await service.runs.start("stamp", {"number": number})

    async def main() -> None:
        async with opened(url, stamp) as service, trio.open_nursery() as nursery:
            start = trio.current_time()
            for number in range(LATENCY_RUNS):
                await trio.sleep_until(start + number / LATENCY_PER_S)
                nursery.start_soon(ask, service, number)
            await done.wait()

    trio.run(main)
    return [(begun[number] - asked[number]) * 1e3 for number in begun]


def chain_s(url: str) -> float:
    """Seconds for 40 runs, each asked for when the one before has finished."""

    async def main() -> float:
        async with opened(url) as service, service.events.watch(capacity=10_000) as feed:
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


def measure(figures: Figures) -> None:
    """All figures of runs, on both stores."""
    with private_postgres() as postgres, private_valkey() as valkey:
        _measure_store(figures, "sqlite", "")
        _measure_store(figures, "postgres", postgres)
        _measure_peers(figures, {"postgres": postgres, "valkey": valkey})


def _measure_store(figures: Figures, name: str, url: str) -> None:
    whole, limited, serial = best_times(
        lambda: burn_s(url), lambda: burn_s(url, at_once=AT_ONCE), lambda: serial_s(url), repetitions=REPETITIONS
    )
    figures.note(f"burn_per_s_{name}", 1 / min(whole), [1 / max(whole), 1 / min(whole)])
    figures.ratio(f"burn_vs_bare_sql_{name}", serial, whole)
    figures.ratio(f"limit_cost_{name}", whole, limited)
    taken = sorted(latencies_ms(url))
    figures.note(f"start_latency_p50_ms_{name}", statistics.median(taken))
    figures.note(f"start_latency_p99_ms_{name}", taken[int(len(taken) * 0.99)])
    chains = [chain_s(url) for _ in range(REPETITIONS)]
    figures.note(f"chain40_s_{name}", min(chains), [min(chains), max(chains)])


def _measure_peers(figures: Figures, addresses: dict[str, str]) -> None:
    """Ours and each peer in turn, so that both have the same machine."""
    for name in COUNTED:
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(3):
            ours.append(burn_s(addresses["postgres"]))
            burned = burn(PEERS[name], PEERS[name].runs, addresses)
            if not isinstance(burned, Burned):
                print(f"{name}: {burned.reason}")
                break
            theirs.append(1 / burned.per_s)
        if len(theirs) == len(ours):
            figures.ratio(f"burn_vs_{name.replace('-', '_')}", theirs, ours)
