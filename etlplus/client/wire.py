"""
One daemon as the client reaches it: a request and its answer, a monitoring connection, and the errors of both.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx2
import msgspec
import trio
from trio_websocket import HandshakeError, WebSocketConnection, open_websocket_url

from etlplus.errors import (
    Conflict,
    EtlplusError,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    Stale,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from etlplus.service.checking import written
from etlplus.service.views import HealthView

T = TypeVar("T")
API = "/api/v1"
TRIES_MAX = 30
WAITED_S_MAX = 2.0
PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Between tries of a request whose connection was lost; a daemon that starts again is back within a few seconds."""


class ConnectionLost(Unavailable):
    """The connection ended before the answer; whether the request took effect is unknown."""

    code = "connection_lost"


class ProblemBody(msgspec.Struct, frozen=True):
    """What a daemon says when it says no."""

    code: str = "internal"
    detail: str = ""
    scope: str = ""
    errors: list[Problem] = []


class Wire:
    """One daemon's addresses and the credential to use there."""

    def __init__(
        self, http: httpx2.AsyncClient, nursery: trio.Nursery, url: str, websocket_url: str | None, token: str | None
    ) -> None:
        self._http = http
        self.nursery = nursery
        self._url = url
        self._websocket_url = websocket_url
        self.token = token

    async def ask(
        self,
        kind: type[T] | Any,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> T:
        """One request; the decoded answer, or the error that the daemon told.

        Raises:
            Unavailable: there is no daemon, or it does not answer.
            TooMany: it was asked too often for too long.
            Invalid: what is asked cannot be sent; or what the daemon says of it.
            EtlplusError: what it answered.
        """
        sent = dict(headers or {})
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = written(body) if body is not None else None
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return await self._send(
            kind, self._http.build_request(method, path, content=content, params=given, headers=sent)
        )

    async def act(self, kind: type[T] | Any, path: str, *, body: Any = None, key: str | None = None) -> T:
        """A POST that takes effect once: if its connection is lost, it is asked again with the same key, for some seconds.

        Args:
            key: The idempotency key; without one, a new one.

        Raises:
            Unavailable: the daemon stays away; whether the request took effect is unknown if it was lost on the way.
            EtlplusError: what it answered.
        """
        once = {"Idempotency-Key": key or str(uuid4())}
        lost = False
        for pause_s in PAUSES_S:
            try:
                return await self.ask(kind, "POST", path, body=body, headers=once)
            except ConnectionLost:
                lost = True
            except Unavailable:
                if not lost:
                    raise
            except Conflict as error:
                if error.reason != "idempotency_under_way":
                    raise
            await trio.sleep(pause_s)
        return await self.ask(kind, "POST", path, body=body, headers=once)

    async def _send(self, kind: Any, request: httpx2.Request) -> Any:
        """Asked too often, the daemon carries nothing out and says when it will: up to two seconds are waited, some times."""
        for tries_left in reversed(range(TRIES_MAX)):
            try:
                answer = await self._http.send(request)
            except (httpx2.ReadError, httpx2.WriteError, httpx2.CloseError, httpx2.RemoteProtocolError) as error:
                raise ConnectionLost(f"the daemon at {self._url} went away before it answered: {error}") from error
            except httpx2.TransportError as error:
                raise Unavailable(f"no daemon answers at {self._url}: {error}") from error
            if answer.is_success:
                return msgspec.json.decode(answer.content, type=kind) if kind is not None else None
            error = _error(answer)
            if not isinstance(error, TooMany) or error.retry_after_s > WAITED_S_MAX or not tries_left:
                raise error
            await trio.sleep(error.retry_after_s)
        raise AssertionError("the last try has an answer or an error")

    @asynccontextmanager
    async def watch(self, topics: tuple[str, ...]) -> AsyncGenerator[WebSocketConnection]:
        """A monitoring connection that has asked for these topics."""
        headers = [(b"Authorization", f"Bearer {self.token}".encode())]
        try:
            async with open_websocket_url(
                await self._monitoring_url(), subprotocols=["etlplus.v1"], extra_headers=headers
            ) as connection:
                await connection.send_message(msgspec.json.encode({"type": "subscribe", "topics": topics}).decode())
                yield connection
        except HandshakeError as error:
            raise Unauthenticated(f"the live monitoring refused: {error}") from error
        except OSError as error:
            raise Unavailable(f"the live monitoring does not answer: {error}") from error

    async def _monitoring_url(self) -> str:
        if self._websocket_url is None:
            health: HealthView = await self.ask(HealthView, "GET", "/api/health")
            if health.monitoring_port is None:
                raise Unavailable("the daemon has no live monitoring")
            self._websocket_url = f"ws://{urlsplit(self._url).hostname}:{health.monitoring_port}"
        return self._websocket_url


def _error(answer: httpx2.Response) -> EtlplusError:
    """The kind of error that a status stands for, with what the body says."""
    try:
        said = msgspec.json.decode(answer.content, type=ProblemBody)
    except msgspec.DecodeError:
        said = ProblemBody(detail=f"the daemon answered {answer.status_code} without a word of ours")
    match answer.status_code:
        case 400 | 413 | 415 | 422:
            return Invalid(said.detail, said.errors, code=said.code)
        case 401:
            return Unauthenticated(said.detail, code=said.code)
        case 403:
            return Forbidden(said.detail, scope=said.scope)
        case 404:
            return NotFound(said.detail, code=said.code)
        case 412:
            return Stale(said.detail, said.errors, code=said.code)
        case 409 | 428:
            return Conflict(said.detail, said.errors, code=said.code)
        case 429:
            return TooMany(said.detail, retry_after_s=float(answer.headers.get("Retry-After", "1")))
        case 503:
            return Unavailable(said.detail, code=said.code)
        case _:
            return EtlplusError(f"{said.detail} ({answer.status_code})", code=said.code)


def path_of(*parts: str) -> str:
    """The path of something below the API, whatever signs its names have in them."""
    return "/".join([API, *(quote(part, safe="") for part in parts)])
