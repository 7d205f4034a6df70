"""The daemon's loop while loads run beside it: whatever the machine does to everybody, the daemon must not do to itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager

import httpx2
import pytest
import trio
from daemon_kit import PASSWORD, Daemon
from prometheus_client.parser import text_string_to_metric_families

from etlplus.client import Client
from etlplus.jobs.model import JobDraft
from etlplus.telemetry.catalog import LOOP_LATENESS

SLOTS = 4
LATE_S = 0.02
SHARE_MAX = 0.01
"""At most one moment in a hundred may come more than 20 ms late."""
ROUNDS_MAX = 3
MOMENTS_MIN = 100
YARDSTICK = """
import json, sys
import trio
from etlplus.telemetry import Lateness

async def main():
    lateness = Lateness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lateness.watch)
        print("measuring", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()
    print(json.dumps(lateness.seconds.cumulative()[:-1] + [(1e9, lateness.seconds.cumulative()[-1][1])]))

trio.run(main)
"""
"""A loop with nothing else to do, on the same machine at the same time."""


def late_share(counts: dict[float, int]) -> float:
    """Which share of the moments came later than 20 ms."""
    return 1 - counts[LATE_S] / max(counts.values())


@asynccontextmanager
async def yardstick() -> AsyncGenerator[dict[float, int]]:
    """Measures an idle loop meanwhile; the dictionary is filled at the end."""
    found: dict[float, int] = {}
    command = [sys.executable, "-c", YARDSTICK]
    process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.receive_some(1) == b"m"
    yield found
    await process.stdin.aclose()
    said = b"".join([part async for part in process.stdout])
    await process.wait()
    found.update((bound, count) for bound, count in json.loads(said.splitlines()[-1]))


async def counts_of(daemon: Daemon, client: Client) -> dict[float, int]:
    """The daemon's own histogram."""
    token = (await client.identity.sign_in("ada", PASSWORD)).access_token
    async with httpx2.AsyncClient(base_url=daemon.url, headers={"Authorization": f"Bearer {token}"}) as http:
        families = text_string_to_metric_families((await http.get("/metrics")).text)
    (family,) = [family for family in families if family.name == LOOP_LATENESS.name]
    return {float(s.labels["le"]): int(s.value) for s in family.samples if s.name.endswith("_bucket")}


async def busiest_while(client: Client, runs: list[str]) -> int:
    """Follow the runs to their ends; gives the most slots that were busy at a time."""
    busiest = 0
    for run in runs:
        async with aclosing(client.runs.follow(run)) as news:
            async for _ in news:
                busiest = max(busiest, (await client.system.status()).slots_busy)
    return busiest


@pytest.mark.slow
async def test_the_loop_of_the_daemon_is_in_time_while_four_loads_run(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft]
) -> None:
    """Of the daemon's moments 99 in 100 come within 20 ms, or as many as of an idle loop's beside it.

    What else the machine does can only make it later, so the best of a few rounds is what the daemon can do.
    """
    daemon = daemons(f"engine.slots={SLOTS}")
    await daemon.wait_ready()
    async with daemon.client() as client:
        jobs = [await client.jobs.create(copy_job(f"copy{number}")) for number in range(2 * SLOTS)]
        rounds: list[tuple[float, float]] = []
        while len(rounds) < ROUNDS_MAX and not any(own <= max(SHARE_MAX, 2 * idle) for own, idle in rounds):
            before = await counts_of(daemon, client)
            async with yardstick() as idle:
                runs = [(await client.runs.start(job.id)).id for job in jobs]
                assert await busiest_while(client, runs) == SLOTS
                after = await counts_of(daemon, client)
            assert [(await client.runs.get(run)).state for run in runs] == ["succeeded"] * len(runs)
            during = {bound: after[bound] - before[bound] for bound in after}
            assert max(during.values()) >= MOMENTS_MIN
            rounds.append((late_share(during), late_share(idle)))
    own, idle_share = min(rounds)
    assert own <= max(SHARE_MAX, 2 * idle_share), rounds
