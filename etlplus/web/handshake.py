"""
The opening handshake of a WebSocket, for as long as somebody wants it.

The library that speaks the protocol goes on waiting for a request when the client has left or has said something that is no
request. Such a connection would keep its place among the open ones until the handshake's time is over, and a few clients
that come and go could keep everybody else out. So the stream is listened to: once it is over, so is the handshake.
"""

from __future__ import annotations

import trio
from trio_websocket import WebSocketRequest, wrap_server_stream


class Overheard(trio.abc.Stream):
    """A stream that tells by ``over`` when nothing more will come through it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.over = trio.Event()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.over.set()
            raise
        if not data:
            self.over.set()
        return data

    async def aclose(self) -> None:
        self.over.set()
        await self._stream.aclose()


async def wait_request(
    nursery: trio.Nursery, stream: trio.SocketStream, *, within_s: float, message_bytes_max: int
) -> WebSocketRequest | None:
    """The client's request to open a WebSocket, or None when it does not come. What the connection needs to live runs in
    ``nursery``.
    """
    overheard = Overheard(stream)
    request: WebSocketRequest | None = None
    with trio.move_on_after(within_s):
        async with trio.open_nursery() as waiting:

            async def give_up() -> None:
                await overheard.over.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(give_up)
            request = await wrap_server_stream(nursery, overheard, max_message_size=message_bytes_max)
            waiting.cancel_scope.cancel()
    return request
