"""
One HTTP connection: Hypercorn's protocol, on a stream that cannot hold us up.

A client that stops reading would block a send for ever, in a shield that not even shutdown could break; here every send has
a deadline, after which the connection is cut. Only HTTP/1.1 is spoken: nothing of ours asks for HTTP/2 without TLS, and it
is the larger surface.
"""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

SEND_WITHIN_S = 10.0


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

    async def run(self) -> None:
        """Serve the client until either side ends it. Hypercorn's own would change over to HTTP/2 when asked to."""
        try:
            socket = self.stream.socket
            client, server = socket.getpeername()[:2], socket.getsockname()[:2]
            async with TaskGroup() as self._task_group:
                self.protocol = _Http1(  # type: ignore[assignment]  # what the wrapper would wrap
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState(self.state),
                    False,
                    client,
                    server,
                    self.protocol_send,
                )
                await self.idle_task.restart(self._task_group, self._idle_timeout)  # pyright: ignore[reportUnknownMemberType]  # untyped
                await self._read_data()
        except OSError:
            pass  # the client is gone
        finally:
            await self._close()

    async def _read_data(self) -> None:
        await super()._read_data()
        await (
            self.idle_task.stop()
        )  # else who has left keeps a place among the open connections until he counts as idle


class _Http1(H11Protocol):
    """HTTP/1.1 for good: an offer to change to HTTP/2 is not taken, and its preface is a request for nothing of ours."""

    async def _check_protocol(self, event: Any) -> None:
        pass

    async def _maybe_recycle(self) -> None:
        """Close the connection after an answer, or wait for the next request.

        The task that has answered is told that its request is over, and cancels itself, here and now: without the shield the
        connection would neither be closed, as its client may have asked, nor count as idle.
        """
        with trio.CancelScope(shield=True):
            await super()._maybe_recycle()


class _BoundedStream(trio.abc.Stream):
    """The client's stream: each send has a deadline."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.socket = stream.socket

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return bytes(await self._stream.receive_some(max_bytes))

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
