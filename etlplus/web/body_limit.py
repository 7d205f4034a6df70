"""
The limit on request bodies, at the seam before the framework: a body is read whole, within bytes and time, or refused.

All bodies of ours are small documents, so nothing is lost by reading them first, and no version of the framework behind can
be made to buffer more. Where one may be larger, whoever sends it has to be known: memory is not given to strangers.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from etlplus.errors import Problem
from etlplus.web.problems import CONTENT_TYPE, body

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
READ_WITHIN_S = 20.0


class BodyLimit:
    """An ASGI application around another.

    Args:
        max_bytes: What everybody may send.
        times: Asked about a request that has more: how many times as much it may have.
    """

    def __init__(self, app: Application, max_bytes: int, times: Callable[[Message], Awaitable[int]]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._times = times

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            where = "live monitoring has a port of its own: monitoring_port in /api/health"
            await _refuse(send, 404, "no_websocket", "there is no WebSocket on this port", where, "websocket.http")
            return
        try:
            with trio.fail_after(READ_WITHIN_S):
                whole = await self._read(scope, receive)
        except trio.TooSlowError:
            too_slow = f"the body did not arrive within {READ_WITHIN_S:.0f} s"
            await _refuse(send, 408, "too_slow", too_slow, "a body that arrives at once")
        except _TooLarge as error:
            accepted = f"at most {error.max_bytes:,} bytes"
            await _refuse(send, 413, "too_large", f"the body is larger than {error.max_bytes} bytes", accepted)
        else:
            if whole is not None:
                await self._app(scope, _replay(whole, receive), send)

    async def _read(self, scope: Message, receive: Receive) -> bytes | None:
        """The body, or None when the client left before its end: what came of it is no request."""
        room = _Room(self._max_bytes, scope, self._times)
        for name, value in scope["headers"]:
            if name == b"content-length":
                await room.need(int(value) if value.isdigit() else math.inf)
        parts = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            parts += message.get("body", b"")
            await room.need(len(parts))
            if not message.get("more_body", False):
                return bytes(parts)


class _TooLarge(Exception):
    """The body is above the limit, or says it will be."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes


class _Room:
    """What one body may have; more than the ordinary is asked for once, when it is needed."""

    def __init__(self, max_bytes: int, scope: Message, times: Callable[[Message], Awaitable[int]]) -> None:
        self._max_bytes = max_bytes
        self._scope = scope
        self._times: Callable[[Message], Awaitable[int]] | None = times

    async def need(self, size: float) -> None:
        if size > self._max_bytes and self._times is not None:
            self._max_bytes *= await self._times(self._scope)
            self._times = None
        if size > self._max_bytes:
            raise _TooLarge(self._max_bytes)


def _replay(whole: bytes, receive: Receive) -> Receive:
    first = True

    async def replayed() -> Message:
        nonlocal first
        if not first:
            return await receive()
        first = False
        return {"type": "http.request", "body": whole, "more_body": False}

    return replayed


async def _refuse(send: Send, status: int, code: str, detail: str, accepted: str, seam: str = "http") -> None:
    """Answer with a problem; ``seam`` is what ASGI calls the answers of this kind of connection."""
    data = body(status, code, detail, "none", errors=[Problem(detail, code=code, suggestion=accepted)])
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(data)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": f"{seam}.response.start", "status": status, "headers": headers})
    await send({"type": f"{seam}.response.body", "body": data})
