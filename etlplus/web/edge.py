"""
The edge: both listeners as actors at the end of the tree, so that they start last and stop first.

The listening sockets belong to whoever opened the edge: a listener that crashes starts again on the same socket, and no
client is refused meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import trio
from hypercorn.trio.worker_context import WorkerContext

from etlplus.runtime import Actor, Exit, Name, Ref, Spawn, Spawner, Tell, child
from etlplus.service.local import Service
from etlplus.settings import Settings
from etlplus.web.body_limit import BodyLimit
from etlplus.web.guard import Guard, Handle, accept, open_socket
from etlplus.web.http import Connection, config
from etlplus.web.monitoring import Windows
from etlplus.web.rest import Rest

CLOSE_WITHIN_S = 3.0


class Listening:
    """Address of a listener."""


class Broke(Tell[Listening]):
    """The accept loop ended, which it never should."""

    error: str


class Listener(Actor[Listening]):
    """Accepts on one socket until told to stop; then lets what is in hand finish, for a while."""

    def __init__(self, listening: socket.socket, guard: Guard, handle: Handle, drain: Callable[[], Awaitable[None]]) -> None:
        self._listening = listening
        self._guard = guard
        self._handle = handle
        self._drain = drain
        self._closed = trio.Event()

    async def started(self) -> None:
        self._accepting = trio.CancelScope()
        self.ctx.pipe(self._serve(), lambda _: Broke("the accept loop ended"), lambda error: Broke(str(error)))

    async def stopping(self, exit: Exit) -> None:
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


async def open_edge(service: Service, edge: Ref[Spawner], settings: Settings) -> None:
    """Listen for REST and for the live monitoring; the ports that were taken are noted in the house."""
    ports, rest, live = service.house.ports, settings.server, settings.monitoring.websocket
    rest_socket, live_socket = open_socket(rest.host, rest.port), open_socket(live.host, live.port)
    ports.rest, ports.monitoring = rest_socket.getsockname()[1], live_socket.getsockname()[1]
    await edge.ask(Spawn(child(Name[Listening]("rest"), _rest(service, rest_socket, settings), shutdown=CLOSE_WITHIN_S + 1)))
    await edge.ask(
        Spawn(child(Name[Listening]("monitoring"), _monitoring(service, live_socket, settings), shutdown=CLOSE_WITHIN_S + 1))
    )


def _rest(service: Service, listening: socket.socket, settings: Settings) -> Callable[[], Listener]:
    guard = Guard(settings.server.connections_max)
    app = BodyLimit(Rest(service).app, settings.server.body_max_bytes)

    def make() -> Listener:
        context, options = WorkerContext(None), config()

        async def handle(stream: trio.SocketStream) -> None:
            await Connection(app, options, context, stream).run()

        return Listener(listening, guard, handle, context.terminated.set)

    return make


def _monitoring(service: Service, listening: socket.socket, settings: Settings) -> Callable[[], Listener]:
    guard = Guard(settings.monitoring.websocket.connections_max)

    def make() -> Listener:
        windows = Windows(service, heartbeat_s=settings.monitoring.websocket.heartbeat_s)
        return Listener(listening, guard, windows.handle, windows.drain)

    return make
