"""
One HTTP connection: Hypercorn's protocol, on a stream that cannot hold us up.

A client that stops reading would block a send for ever, in a shield that not even shutdown could break; here every send has
a deadline, after which the connection is cut. HTTP/2 without TLS is refused: nothing of ours asks for it, and it is the
larger surface.
"""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext

SEND_WITHIN_S = 10.0
H2_PREFACE = b"PRI * HTTP/2.0"


def config() -> Config:
    """Hypercorn's options for our connections."""
    chosen = Config()
    chosen.keep_alive_timeout = 15
    chosen.h11_max_incomplete_size = 16 * 1024
    chosen.include_server_header = False
    chosen.errorlog = None
    return chosen


class Connection(TCPServer):
    """See the module. ``context.terminated`` ends idle connections at shutdown."""

    def __init__(self, app: Any, options: Config, context: WorkerContext, stream: trio.SocketStream) -> None:
        super().__init__(ASGIWrapper(app), options, context, {}, _BoundedStream(stream))  # type: ignore[arg-type]  # hypercorn asks for the very class, and uses less

    async def _read_data(self) -> None:
        await super()._read_data()
        await (
            self.idle_task.stop()
        )  # else who has left keeps a place among the open connections until he counts as idle


class _BoundedStream(trio.abc.Stream):
    """The client's stream: each send has a deadline, and HTTP/2's preface counts as the end."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._first = True
        self.socket = stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._stream.receive_some(max_bytes))
        if self._first and data.startswith(H2_PREFACE):
            return b""
        self._first = False
        return data

    async def send_all(self, data: bytes) -> None:  # type: ignore[override]  # trio's own name, narrower type
        # Hypercorn shields this without a bound; the bound lies inside of its shield.
        with trio.move_on_after(SEND_WITHIN_S) as limit:
            await self._stream.send_all(data)
        if limit.cancelled_caught:
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the client does not read")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()
