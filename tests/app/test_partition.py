"""One node of two is cut off from the store, while the other goes on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from nodes_kit import HANG_S, ended, until

sys.path.insert(0, str(Path(__file__).parents[1] / "store"))
from pooler import open_pooler

import etlplus
from etlplus.errors import Unavailable
from etlplus.jobs.views import RunView
from etlplus.service.local import Service
from etlplus.settings import Engine, Lease, Settings, Store
from etlplus.settings.schema import Postgres

pytestmark = pytest.mark.slow


class Told:
    """What the functions of both nodes did, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @asynccontextmanager
    async def node(self, name: str, folder: Path, address: str) -> AsyncGenerator[Service]:
        """A node that carries runs of ``work``; the first attempt of each goes on until it is told to end."""

        @etlplus.job("work")
        async def work(context: etlplus.RunContext) -> None:
            self.lines.append(f"{name} begins {context.attempt}")
            try:
                if context.attempt == 1:
                    await trio.sleep_forever()
            finally:
                self.lines.append(f"{name} ends {context.attempt}")

        settings = Settings(
            data_dir=str(folder / name),
            engine=Engine(slots=1),
            lease=Lease(beat_s=1, expiry_s=4),
            store=Store(url=address, postgres=Postgres(pgbouncer="pooler" in address)),
        )
        async with etlplus.open_service(settings, functions=[work]) as service:
            yield service


async def test_a_node_that_is_cut_off_ends_what_it_has_before_another_begins_it(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    """Its attempts end with their lease, though nobody can tell it to; the other node takes the run and ends it. What the first
    one says when it is back is stale, and it takes other runs.
    """
    direct, place, told = new_database(), Path(tempfile.mkdtemp(prefix="pooler-")), Told()
    cut, over = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:
        address = await nursery.start(_connect, direct, place, cut)
        async with told.node("first", tmp_path, address) as first:
            run = await first.runs.start("work")
            await until(lambda: told.lines == ["first begins 1"])
            async with told.node("second", tmp_path, direct) as second:
                cut.set()
                done = await ended(second, run.id, "succeeded")
                assert told.lines == ["first begins 1", "first ends 1", "second begins 2", "second ends 2"]
                assert (done.attempt, done.attempts_max) == (2, 3)
            await nursery.start(_connect, direct, place, over)
            again = await _started(first)
            await until(lambda: told.lines[4:] == ["first begins 1"])
            await first.runs.cancel(again.id)
            await ended(first, again.id, "cancelled")
            assert (await first.runs.get(run.id)).version == done.version
        over.set()


async def _started(service: Service) -> RunView:
    """A run, as soon as the store answers."""
    with trio.fail_after(HANG_S):
        while True:
            try:
                return await service.runs.start("work")
            except Unavailable:
                await trio.sleep(0.05)


async def _connect(direct: str, place: Path, cut: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    """What stands between a node and the server, until it is cut."""
    async with open_pooler(direct, place=place) as (_, address):
        task_status.started(address)
        await cut.wait()
