"""
The edge: both listeners as actors at the end of the tree, so that they start last and stop first.

The listening sockets belong to whoever opened the edge: a listener that crashes starts again on the same socket, and no
client is refused meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import trio
from hypercorn.trio.worker_context import WorkerContext

from etlplus.engines.tenancy import announced
from etlplus.runtime import Actor, Exit, Name, Ref, Spawn, Spawner, Tell, child
from etlplus.service.local import Service
from etlplus.web.body_limit import Application, BodyLimit
from etlplus.web.guard import Guard, Handle, accept, open_socket
from etlplus.web.http import Connection, config
from etlplus.web.monitoring import Windows
from etlplus.web.rest import Rest

CLOSE_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """Where to listen, and for how many: connections count at a time, a silent watcher is sent a heartbeat."""

    host: str
    port: int
    body_max_bytes: int
    connections_max: int
    monitoring_host: str
    monitoring_port: int
    watchers_max: int
    heartbeat_s: float


class Listening:
    """Address of a listener."""


class Broke(Tell[Listening]):
    """The accept loop ended, which it never should."""

    error: str


class Listener(Actor[Listening]):
    """Accepts on one socket until told to stop; then lets what is in hand finish, for a while."""

    def __init__(
        self, listening: socket.socket, guard: Guard, handle: Handle, drain: Callable[[], Awaitable[None]]
    ) -> None:
        self._listening = listening
        self._guard = guard
        self._handle = handle
        self._drain = drain
        self._closed = trio.Event()

    async def started(self) -> None:
        self._accepting = trio.CancelScope()
        self.ctx.pipe(self._serve(), lambda _: Broke("the accept loop ended"), lambda error: Broke(str(error)))

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        self._accepting.cancel()
        await self._drain()
        with trio.move_on_after(CLOSE_WITHIN_S):
            await self._closed.wait()

    @Broke.handler
    def broke(self, message: Broke) -> None:
        raise RuntimeError(message.error)

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as connections:
                with self._accepting:
                    await accept(self._listening, self._handle, self._guard, connections)
        finally:
            self._closed.set()


async def open_edge(service: Service, edge: Ref[Spawner], options: EdgeOptions, closing: ExitStack) -> None:
    """Listen for REST and for the live monitoring; the ports that were taken are noted in the house and, once there is an
    answer, in the data directory.

    ``closing`` closes the listening sockets once the tree is gone.
    """
    ports = service.house.ports
    rest_socket = closing.enter_context(open_socket(options.host, options.port))
    live_socket = closing.enter_context(open_socket(options.monitoring_host, options.monitoring_port))
    rest_port, live_port = rest_socket.getsockname()[1], live_socket.getsockname()[1]
    ports.rest, ports.monitoring = rest_port, live_port
    await edge.ask(
        Spawn(child(Name[Listening]("rest"), _rest(service, rest_socket, options), shutdown=CLOSE_WITHIN_S + 1))
    )
    await edge.ask(
        Spawn(
            child(
                Name[Listening]("monitoring"), _monitoring(service, live_socket, options), shutdown=CLOSE_WITHIN_S + 1
            )
        )
    )
    closing.enter_context(announced(service.house.data_dir, rest_port, live_port))


def _rest(service: Service, listening: socket.socket, options: EdgeOptions) -> Callable[[], Listener]:
    guard = Guard(options.connections_max)
    rest = Rest(service)
    app = BodyLimit(cast("Application", rest.app), options.body_max_bytes, rest.body_times)

    def make() -> Listener:
        context, protocol = WorkerContext(None), config()

        async def handle(stream: trio.SocketStream) -> None:
            await Connection(app, protocol, context, stream).run()

        return Listener(listening, guard, handle, context.terminated.set)

    return make


def _monitoring(service: Service, listening: socket.socket, options: EdgeOptions) -> Callable[[], Listener]:
    guard = Guard(options.watchers_max)

    def make() -> Listener:
        windows = Windows(service, heartbeat_s=options.heartbeat_s)
        return Listener(listening, guard, windows.handle, windows.drain)

    return make
