"""The daemon as an operator meets it: killed, stopped, doubled."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
from daemon_kit import ROWS, Daemon, rows_in, wait_gone

from etlplus.actors.news import ProgressNews
from etlplus.cli.exits import Exit
from etlplus.client import Client
from etlplus.jobs.model import JobDraft
from etlplus.jobs.views import RunView
from etlplus.settings import Lease
from etlplus.store.opening import open_store

pytestmark = pytest.mark.slow

EXPIRY_S = Lease().expiry_s
"""Who has half of it left when a process has ended, knows that it did not wait for that end."""


async def until_loading(client: Client, run: RunView) -> None:
    """Wait until the attempt has read rows."""
    async with aclosing(client.runs.follow(run.id)) as news:
        async for told in news:
            if isinstance(told, ProgressNews) and told.progress.rows_read:
                return


async def to_the_end(client: Client, run: str) -> RunView:
    """Follow a run until it has ended."""
    async with aclosing(client.runs.follow(run)) as news:
        async for _ in news:
            pass
    return await client.runs.get(run)


async def test_a_killed_daemon_leaves_no_orphan_and_its_run_is_resumed(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """kill -9 in the middle of a load: no child is left, long before its lease ends; the next daemon rescues the run, and the
    figures are exact.
    """
    first = daemons()
    await first.wait_ready()
    async with first.client() as client:
        job = await client.jobs.create(copy_job())
        run = await client.runs.start(job.id)
        await until_loading(client, run)
        children = first.children()
        first.end(signal.SIGKILL)
    await first.wait_ended()
    assert children
    await wait_gone(children, EXPIRY_S / 2)
    second = daemons()
    await second.wait_ready()
    async with second.client() as client:
        ended = await to_the_end(client, run.id)
        detail = await client.runs.detail(run.id)
    assert (ended.state, ended.attempt) == ("succeeded", 2)
    assert [attempt.ended for attempt in detail.attempts] == ["lost", "succeeded"]
    names = [line["event"] for line in second.logged()]
    assert names.index("runs_rescued") < names.index("serving", names.index("runs_rescued"))
    assert ended.figures is not None
    assert (ended.figures.rows_read, ended.figures.rows_loaded, rows_in(tmp_path / "copy.sqlite")) == (ROWS, ROWS, ROWS)


async def test_a_killed_child_costs_one_attempt(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """kill -9 of the children: the attempt fails as engine_lost, the next one is exact."""
    daemon = daemons()
    await daemon.wait_ready()
    async with daemon.client() as client:
        job = await client.jobs.create(copy_job())
        run = await client.runs.start(job.id)
        await until_loading(client, run)
        for child in daemon.children():
            os.kill(child, signal.SIGKILL)
        ended = await to_the_end(client, run.id)
        detail = await client.runs.detail(run.id)
    assert ended.state == "succeeded"
    assert detail.attempts[0].error is not None
    assert detail.attempts[0].error.code == "engine_lost"
    assert rows_in(tmp_path / "copy.sqlite") == ROWS


@asynccontextmanager
async def held_up(database: Path) -> AsyncGenerator[None]:
    """Meanwhile somebody else writes to the destination, so that a load gets everything done but its commit."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def until_committing(client: Client, run: RunView) -> None:
    """Wait until the attempt waits for its commit."""
    async with aclosing(client.runs.follow(run.id)) as news:
        async for told in news:
            if isinstance(told, ProgressNews) and told.progress.phase == "committing":
                return


async def test_a_load_that_is_silent_for_several_leases_survives(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """The lease is the worker's, not the load's: while the daemon beats, a load may say nothing for as long as it likes."""
    expiry_s = 2.0
    daemon = daemons("lease.beat_s=0.2", f"lease.expiry_s={expiry_s}")
    await daemon.wait_ready()
    async with daemon.client() as client, held_up(tmp_path / "copy.sqlite"):
        run = await client.runs.start((await client.jobs.create(copy_job())).id)
        await until_committing(client, run)
        children = daemon.children()
        async with aclosing(client.runs.follow(run.id)) as news:
            await anext(news)  # how it stands
            with trio.move_on_after(2.5 * expiry_s) as silence:
                async for told in news:
                    assert told is None, "the load was not silent"
        assert silence.cancelled_caught
        assert daemon.children() == children
    async with daemon.client() as client:
        ended = await to_the_end(client, run.id)
    assert (ended.state, ended.attempt, rows_in(tmp_path / "copy.sqlite")) == ("succeeded", 1, ROWS)
    assert daemon.events("lease_lost") == []


async def test_a_stopped_daemon_finishes_what_it_has_in_hand(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """SIGTERM drains: the run in hand is finished, and the daemon ends with 0."""
    first = daemons("shutdown.drain_s=60")
    await first.wait_ready()
    async with first.client() as client:
        run = await client.runs.start((await client.jobs.create(copy_job())).id)
        await until_loading(client, run)
        first.end(signal.SIGTERM)
    assert await first.wait_ended() == 0
    assert rows_in(tmp_path / "copy.sqlite") == ROWS
    second = daemons()
    await second.wait_ready()
    async with second.client() as client:
        detail = await client.runs.detail(run.id)
    assert (detail.run.state, [attempt.ended for attempt in detail.attempts]) == ("succeeded", ["succeeded"])


async def test_a_daemon_that_waits_for_its_store_can_be_stopped(daemons: Callable[..., Daemon]) -> None:
    """A signal need not wait until the store has answered, or the daemon has given it up."""
    (silent,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with silent:
        port = silent.socket.getsockname()[1]
        daemon = daemons(f"store.url=postgresql://nobody@127.0.0.1:{port}/nothing")
        with trio.fail_after(60):
            async with await silent.accept():
                daemon.end(signal.SIGTERM)
                assert await daemon.wait_ended() == 0
    assert [line["event"] for line in daemon.logged()] == ["draining", "stopped"]


@pytest.mark.parametrize(("signals", "drain_s"), [(1, 0.3), (2, 600)])
async def test_what_cannot_be_finished_is_returned_and_done_by_the_next_daemon(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path, signals: int, drain_s: float
) -> None:
    """When the drain budget is used up, or a second signal skips it, the run goes back to its queue, unharmed."""
    first = daemons(f"shutdown.drain_s={drain_s}")
    await first.wait_ready()
    async with held_up(tmp_path / "copy.sqlite"):
        async with first.client() as client:
            run = await client.runs.start((await client.jobs.create(copy_job())).id)
            await until_committing(client, run)
            children = first.children()
            first.end(signal.SIGTERM)
            if signals == 2:
                with trio.fail_after(60):
                    while not first.events("draining"):  # noqa: ASYNC110 - a log file cannot be waited for
                        await trio.sleep(0.01)
                first.end(signal.SIGTERM)
        assert await first.wait_ended() == 0
        await wait_gone(children, EXPIRY_S / 2)
    async with open_store(f"sqlite:{tmp_path / 'data' / 'store.sqlite'}") as store:
        waiting = await store.run(run.id)
        assert (waiting.state, waiting.attempt, waiting.attempts_spent) == ("queued", 1, 0)
    second = daemons()
    await second.wait_ready()
    async with second.client() as client:
        ended = await to_the_end(client, run.id)
        ways = [attempt.ended for attempt in (await client.runs.detail(run.id)).attempts]
    assert (ended.state, ways, rows_in(tmp_path / "copy.sqlite")) == ("succeeded", ["returned", "succeeded"], ROWS)


async def test_a_cancelled_run_leaves_nothing_behind(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """Cancelling a running run stops its child and shows none of its rows."""
    daemon = daemons()
    await daemon.wait_ready()
    async with daemon.client() as client:
        job = await client.jobs.create(copy_job())
        run = await client.runs.start(job.id)
        await until_loading(client, run)
        await client.runs.cancel(run.id)
        assert (await to_the_end(client, run.id)).state == "cancelled"
        status = await client.system.status()
    assert status.slots_busy == 0
    database = tmp_path / "copy.sqlite"
    assert not database.exists() or "t" not in tables_in(database)


def tables_in(database: Path) -> set[str]:
    db = sqlite3.connect(database)
    try:
        return {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        db.close()


async def test_a_directory_serves_one_daemon(daemons: Callable[..., Daemon], tmp_path: Path) -> None:
    """A second daemon on the same data directory is refused with a sentence that names the first."""
    first = daemons()
    await first.wait_ready()
    second = daemons()
    assert await second.wait_ended() == Exit.CONFLICT
    assert f"in use by process {first.process.pid}" in (tmp_path / "daemon.log").read_text()


async def test_twenty_runs_at_once_all_succeed_and_the_daemon_stays_small(
    daemons: Callable[..., Daemon], copy_job: Callable[..., JobDraft], tmp_path: Path
) -> None:
    """Twenty jobs with destinations of their own, started at once over REST; the daemon's memory stays under 150 MB.

    The memory of the children is their own, and is reported beside it, as soon as there are any.
    """
    small = tmp_path / "small.csv"
    small.write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    daemon = daemons()
    await daemon.wait_ready()
    async with daemon.client() as client:
        jobs: list[str] = []
        for number in range(20):  # one after the other: each is checked by a process
            draft = copy_job(f"copy{number}")
            pipeline = draft.pipeline | {"sources": {"numbers": {"type": "csv", "path": str(small)}}}
            jobs.append((await client.jobs.create(JobDraft(name=draft.name, pipeline=pipeline))).id)
        runs: list[str] = []

        async def start(job: str) -> None:
            runs.append((await client.runs.start(job)).id)

        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(start, job)
        with trio.fail_after(60):
            while not (await client.system.status()).engine["rss_bytes"]:  # noqa: ASYNC110 - nobody tells when there is one
                await trio.sleep(0.02)
        ended = [await to_the_end(client, run) for run in runs]
        peak_bytes = most_resident_bytes(daemon.process.pid)
    assert [run.state for run in ended] == ["succeeded"] * 20
    assert peak_bytes <= 150 * 1024 * 1024
    assert {rows_in(tmp_path / f"copy{number}.sqlite") for number in range(20)} == {1000}


def most_resident_bytes(pid: int) -> int:
    """The most memory that the process ever had."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmHWM"].removesuffix("kB")) * 1024
