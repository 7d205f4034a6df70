"""Several services on one PostgreSQL, in one process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import trio

import etlplus
from etlplus.app.staff import Rhythm
from etlplus.jobs.views import RunView
from etlplus.service.local import Service
from etlplus.settings import Engine, Lease, Settings, Shutdown, Store
from etlplus.settings.schema import Postgres

HANG_S = 45.0
"""Far more than anything here takes, and less than a minute."""
MINUTE = Rhythm(poll_s=60.0, poll_silent_s=60.0, tick_s=60.0, rescue_s=60.0)
"""Whoever looks by himself finds nothing in time."""


class Nodes:
    """Services on one database."""

    def __init__(self, folder: Path, address: str, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.address = address
        self.go_on = trio.Event()
        self._send, self.called = trio.open_memory_channel[str](100)

    @asynccontextmanager
    async def opened(
        self,
        name: str,
        *,
        carries: bool = True,
        job: str = "work",
        waits: bool = False,
        drain_s: float = 10.0,
        listen_url: str = "",
    ) -> AsyncGenerator[Service]:
        """A service that knows whether it hears the others; with ``carries``, it has the function ``job``, which tells who
        was called, and ``waits`` if it shall.
        """

        @etlplus.job(job)
        async def work(context: etlplus.RunContext) -> None:
            context.progress(0.5)
            context.log(f"on {name}")
            await self._send.send(name)
            if waits:
                await self.go_on.wait()
            context.log("done")

        settings = Settings(
            data_dir=str(self._folder / name),
            engine=Engine(slots=1, spares=False),
            lease=Lease(beat_s=60, expiry_s=300),
            store=Store(url=self.address, postgres=Postgres(listen_url=listen_url)),
            shutdown=Shutdown(drain_s=drain_s),
        )
        async with etlplus.open_service(settings, functions=[work] if carries else []) as service:
            await until(lambda: service.house.earshot.arrive is not None)
            yield service

    async def node(self, name: str, **options: Any) -> Service:
        """The same, until the test ends."""
        return await self._stack.enter_async_context(self.opened(name, **options))


OpenNodes = Callable[[], AbstractAsyncContextManager[Nodes]]


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(HANG_S):
        while not holds():  # noqa: ASYNC110 - records tell nobody
            await trio.sleep(0.01)


async def next_call(nodes: Nodes) -> str:
    with trio.fail_after(HANG_S):
        return await nodes.called.receive()


async def ended(service: Service, run_id: str, state: str) -> RunView:
    """The run, once it has ended like that."""
    with trio.fail_after(HANG_S):
        while not (run := await service.runs.get(run_id)).finished:  # noqa: ASYNC110 - the store tells nobody
            await trio.sleep(0.01)
    assert run.state == state
    return run
