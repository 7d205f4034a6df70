"""An outage of the store is a state: everybody can see since when and why, and the daemon outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import trio
from daemon_kit import Daemon

from etlplus.cli.exits import Exit
from etlplus.client import Client
from etlplus.jobs.model import JobDraft
from etlplus.testing.servers import PostgresServer, restartable_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Generator[PostgresServer]:
    with restartable_postgres() as server:
        yield server


async def until_store(client: Client, status: str) -> str:
    """Wait until health says this of the store; what it says beside it."""
    with trio.fail_after(60):
        while True:
            (check,) = [check for check in (await client.system.health()).checks if check.name == "store"]
            if check.status == status:
                return check.detail
            await trio.sleep(0.02)


def etlplus(url: str, token: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"ETLPLUS_URL": url, "ETLPLUS_TOKEN": token}
    command = [sys.executable, "-m", "etlplus", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)


@asynccontextmanager
async def scraping(daemon: Daemon, token: str) -> AsyncGenerator[Callable[[], Awaitable[dict[str, float]]]]:
    async with httpx2.AsyncClient(base_url=daemon.url, headers={"Authorization": f"Bearer {token}"}) as http:

        async def metrics() -> dict[str, float]:
            answer = await http.get("/metrics")
            assert answer.status_code == 200, answer.text
            lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
            return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

        yield metrics


async def test_an_outage_is_seen_from_everywhere_and_outlived(
    daemons: Callable[..., Daemon], server: PostgresServer, tmp_path: Path
) -> None:
    """Health, metrics and the command line tell of it while it lasts, and of its end; afterwards runs are done as before. Who is
    asked to stop during an outage does so in order.
    """
    (tmp_path / "people.csv").write_text("name\nAda\n")
    sink = {"id": "table", "type": "sqlite", "input": "people", "path": "people.sqlite", "table": "people"}
    plan = {"name": "people", "sources": {"people": {"type": "csv", "path": "people.csv"}}, "sinks": [sink]}
    daemon = daemons(f"store.url={server.address}")
    await daemon.wait_ready()
    async with daemon.client() as client:
        token = (await client.identity.sign_in("ada", "correct horse battery")).access_token
        job = await client.jobs.create(JobDraft(name="people", pipeline=plan, base_dir=str(tmp_path)))
        told = etlplus(daemon.url, token, "status")
        assert (told.returncode, "store     available since" in told.stdout) == (Exit.OK, True), told
        async with scraping(daemon, token) as metrics:
            before = await metrics()
            assert (before["etlplus_store_up"], before["etlplus_store_outage_seconds"]) == (1, 0)
            assert before["etlplus_dead_letters"] == 0
            await trio.to_thread.run_sync(server.stop)
            assert (await until_store(client, "fail")).startswith("outage since 20")
            out = await metrics()
            assert (out["etlplus_store_up"], out["etlplus_store_outages_total"]) == (0, 1)
            assert out["etlplus_store_outage_seconds"] > 0
            assert not {"etlplus_dead_letters", 'etlplus_queue_waiting{queue="default"}'} & out.keys(), (
                "who cannot count says nothing"
            )
            assert out['etlplus_store_connections_idle{lane="general"}'] == 0
            told = etlplus(daemon.url, token, "status")
            assert told.returncode == Exit.UNAVAILABLE
            assert "outage since 20" in told.stdout
            assert "runs      not known\nletters   not known" in told.stdout
            await trio.to_thread.run_sync(server.start)
            await until_store(client, "pass")
            back = await metrics()
        assert (back["etlplus_store_up"], back["etlplus_store_outages_total"]) == (1, 1)
        assert back['etlplus_store_connections_opened_total{lane="general"}'] > 1
        assert back['etlplus_store_connection_wait_seconds_count{lane="general"}'] > 1
        run = await client.runs.start(job.id)
        with trio.fail_after(60):
            async with aclosing(client.runs.follow(run.id)) as news:
                async for _ in news:
                    pass
        assert (await client.runs.get(run.id)).state == "succeeded"
        assert (await client.system.status()).store.outages == 1
    await trio.to_thread.run_sync(server.stop)
    daemon.end(signal.SIGTERM)
    assert await daemon.wait_ended() == 0
    assert len(daemon.events("left_unheard")) == 1
