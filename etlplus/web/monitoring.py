"""
Live monitoring: one WebSocket, a snapshot of what was asked for, then news as it happens.

The token comes with the upgrade (``Authorization: Bearer``). The client says what it wants with ``subscribe``; it gets
``snapshot`` and then the news, each with its type. A heartbeat that is not answered, a watcher that falls behind or does not
read, an expired token, a drain: each ends the connection with a code of its own and a reason.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC, datetime

import msgspec
import structlog
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest

from etlplus.errors import EtlplusError, Unauthenticated
from etlplus.service.contract import Contract, Feed
from etlplus.service.permissions import Principal
from etlplus.web.handshake import wait_request

log = structlog.get_logger()

PROTOCOL = "etlplus.v1"
HANDSHAKE_WITHIN_S = 5.0
SEND_WITHIN_S = 5.0
PONG_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0
MESSAGE_BYTES_MAX = 16 * 1024
TOPICS_MAX = 100
TOKEN_EXPIRED, SLOW_WATCHER, GOING_AWAY = 4401, 4408, 1001


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The first word: who answers, and which life of it; positions of news count within an epoch."""

    node: str
    epoch: str
    protocol: str = PROTOCOL


class Refused(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """Something that was asked for cannot be had; the connection goes on."""

    code: str
    detail: str


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", tag_field="type", forbid_unknown_fields=True):
    """Follow these topics instead of what was followed before; see ``contract.Events``."""

    topics: tuple[str, ...] = ("runs",)


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", tag_field="type", forbid_unknown_fields=True):
    """Follow nothing any more."""


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type", forbid_unknown_fields=True):
    """Say something."""


class Pong(msgspec.Struct, frozen=True, tag="pong", tag_field="type"):
    """Something."""


_decode = msgspec.json.Decoder[Subscribe | Unsubscribe | Ping](Subscribe | Unsubscribe | Ping).decode
_encode = msgspec.json.Encoder().encode


class Windows:
    """Serves watchers of one service."""

    def __init__(self, service: Contract, *, heartbeat_s: float) -> None:
        self._service = service
        self._heartbeat_s = heartbeat_s
        self._draining = trio.Event()

    async def drain(self) -> None:
        """Send everybody away, with the reason."""
        self._draining.set()

    async def handle(self, stream: trio.SocketStream) -> None:
        """One connection, from the handshake to its end; the guard catches what it raises."""
        try:
            async with trio.open_nursery() as nursery:
                request = await wait_request(
                    nursery, stream, within_s=HANDSHAKE_WITHIN_S, message_bytes_max=MESSAGE_BYTES_MAX
                )
                if request is not None and (who := await self._admit(request)):
                    await self._serve(request, who)
                nursery.cancel_scope.cancel()
        finally:
            await trio.aclose_forcefully(stream)

    async def _serve(self, request: WebSocketRequest, who: Principal) -> None:
        connection = None
        with trio.move_on_after(HANDSHAKE_WITHIN_S):
            connection = await request.accept(
                subprotocol=PROTOCOL if PROTOCOL in request.proposed_subprotocols else None
            )
        if connection is not None:
            await _Watcher(self._service.acting_as(who), who, connection).watch(self._heartbeat_s, self._draining)

    async def _admit(self, request: WebSocketRequest) -> Principal | None:
        """Who asks, or None after saying no."""
        kind, _, token = dict(request.headers).get(b"authorization", b"").decode("latin-1").partition(" ")
        try:
            if kind.lower() != "bearer":
                raise Unauthenticated("this needs a bearer token")
            who = await self._service.identity.authenticate(token.strip())
            who.must("runs:read")
        except EtlplusError as error:
            status = 401 if isinstance(error, Unauthenticated) else 403
            headers = [(b"WWW-Authenticate", b'Bearer realm="etlplus"')]
            with trio.move_on_after(HANDSHAKE_WITHIN_S):
                await request.reject(status, extra_headers=headers, body=error.message.encode())
            return None
        return who


class _Watcher:
    """One accepted connection. Its tasks end it by ``_end``; the first reason counts."""

    def __init__(self, service: Contract, who: Principal, connection: WebSocketConnection) -> None:
        self._service = service
        self._who = who
        self._connection = connection
        self._wanted: tuple[str, ...] | None = None
        self._changed = trio.Event()

    async def watch(self, heartbeat_s: float, draining: trio.Event) -> None:
        """Serve until either side ends it."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._feed)
                nursery.start_soon(self._heartbeat, heartbeat_s)
                nursery.start_soon(self._expire)
                nursery.start_soon(self._drain, draining)
                await self._listen()
                nursery.cancel_scope.cancel()
        except* ConnectionClosed:
            pass  # the watcher left, which is its right

    async def _listen(self) -> None:
        while True:
            message = await self._connection.get_message()
            try:
                asked = _decode(message)
            except msgspec.DecodeError as error:
                await self._send(_encode(Refused("not_understood", str(error))))
                continue
            if isinstance(asked, Ping):
                await self._send(_encode(Pong()))
            else:
                topics = asked.topics if isinstance(asked, Subscribe) else ()
                await self._want(topics)

    async def _want(self, topics: tuple[str, ...]) -> None:
        if len(topics) > TOPICS_MAX:
            await self._send(_encode(Refused("too_many_topics", f"at most {TOPICS_MAX}")))
            return
        self._wanted = topics
        self._changed.set()

    async def _feed(self) -> None:
        """Say hello, then serve one subscription after the other."""
        async with self._service.events.watch(()) as nobody:
            await self._send(_encode(Hello(nobody.node, nobody.epoch)))
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            if self._wanted:
                await self._serve(self._wanted)

    async def _serve(self, topics: tuple[str, ...]) -> None:
        """Snapshot and news of these topics, until others are wanted."""
        try:
            async with AsyncExitStack() as stack:
                feed = await stack.enter_async_context(self._service.events.watch(topics))
                await self._send(_encode(feed.snapshot))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._forward, feed)
                    await self._changed.wait()
                    nursery.cancel_scope.cancel()
        except* EtlplusError as errors:
            error = errors.exceptions[0]
            code = error.reason if isinstance(error, EtlplusError) else "internal"
            await self._send(_encode(Refused(code, str(error))))

    async def _forward(self, feed: Feed) -> None:
        async for encoded in feed:
            await self._send(encoded)
        if feed.lagged:
            await self._end(SLOW_WATCHER, "you fell too far behind; connect again for a new snapshot")

    async def _heartbeat(self, every_s: float) -> None:
        while True:
            await trio.sleep(every_s)
            with trio.move_on_after(PONG_WITHIN_S) as limit:
                await self._connection.ping()
            if limit.cancelled_caught:
                await self._end(SLOW_WATCHER, "no answer to a heartbeat")

    async def _expire(self) -> None:
        if self._who.expires_at is not None:
            await trio.sleep(max((self._who.expires_at - datetime.now(UTC)).total_seconds(), 0))
            await self._end(TOKEN_EXPIRED, "the token has expired")

    async def _drain(self, draining: trio.Event) -> None:
        await draining.wait()
        await self._end(GOING_AWAY, "the daemon is stopping")

    async def _send(self, encoded: bytes) -> None:
        """Send one message. A send that takes too long leaves half a frame, so the connection cannot be used any more."""
        with trio.move_on_after(SEND_WITHIN_S) as limit:
            await self._connection.send_message(encoded.decode())
        if limit.cancelled_caught:
            log.warning("watcher_does_not_read", who=self._who.name)
            self._nursery.cancel_scope.cancel()

    async def _end(self, code: int, reason: str) -> None:
        with trio.move_on_after(CLOSE_WITHIN_S):
            await self._connection.aclose(code, reason)
        self._nursery.cancel_scope.cancel()
