"""
The same door from outside: the service contract over HTTP and WebSocket.

``async with connect(url, token=...) as client`` gives facets with the methods of ``etlplus.service.contract``; errors come
back as the same kinds that the service raises in process.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

import httpx2
import msgspec
import trio
from trio_websocket import ConnectionClosed, HandshakeError, WebSocketConnection, open_websocket_url

from etlplus.actors.news import News, ProgressNews, RunNews
from etlplus.errors import (
    Conflict,
    EtlplusError,
    Forbidden,
    Invalid,
    NotFound,
    Problem,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from etlplus.jobs.model import JobDraft
from etlplus.jobs.views import RunView
from etlplus.service.views import Grant, HealthView, JobView, Page, Reject, RunDetail, StatusView, UserView

T = TypeVar("T")
API = "/api/v1"
TIMEOUT_S = 30.0
RECONNECTS_MAX = 10
RECONNECT_AFTER_S = 0.5


class ProblemBody(msgspec.Struct, frozen=True):
    """What a daemon says when it says no."""

    code: str = "internal"
    detail: str = ""
    scope: str = ""
    errors: list[Problem] = []


class SnapshotNews(msgspec.Struct, frozen=True, tag="snapshot", tag_field="type"):
    """How the followed runs stood when following began."""

    runs: list[RunView]
    n: int = 0


class OtherNews(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The daemon's first word."""


class RefusedNews(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """What was asked for cannot be had."""

    code: str
    detail: str


_Incoming = RunNews | ProgressNews | SnapshotNews | OtherNews | RefusedNews
_decode = msgspec.json.Decoder[_Incoming](_Incoming).decode


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
            EtlplusError: what it answered.
        """
        sent = dict(headers or {})
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        content = msgspec.json.encode(body) if body is not None else None
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            answer = await self._http.request(method, path, content=content, params=given, headers=sent)
        except httpx2.TransportError as error:
            raise Unavailable(f"no daemon answers at {self._url}: {error}") from error
        if answer.is_success:
            return msgspec.json.decode(answer.content, type=kind) if kind is not None else None  # type: ignore[return-value]  # no kind asked, no value given
        raise _error(answer)

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
        case 409 | 412 | 428:
            return Conflict(said.detail, code=said.code)
        case 429:
            return TooMany(said.detail, retry_after_s=float(answer.headers.get("Retry-After", "1")))
        case 503:
            return Unavailable(said.detail, code=said.code)
        case _:
            return EtlplusError(f"{said.detail} ({answer.status_code})", code=said.code)


class ClientJobs:
    """See ``contract.Jobs``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def create(self, draft: JobDraft) -> JobView:
        return await self._wire.ask(JobView, "POST", f"{API}/jobs", body=draft)

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> Page[JobView]:
        return await self._wire.ask(Page[JobView], "GET", f"{API}/jobs", query={"limit": limit, "cursor": cursor})

    async def get(self, job: str) -> JobView:
        return await self._wire.ask(JobView, "GET", _job(job))

    async def replace(self, job: str, draft: JobDraft, *, expected_version: int) -> JobView:
        return await self._wire.ask(JobView, "PUT", _job(job), body=draft, headers=_known(expected_version))

    async def delete(self, job: str, *, expected_version: int) -> None:
        await self._wire.ask(None, "DELETE", _job(job), headers=_known(expected_version))

    async def check(self, draft: JobDraft) -> builtins.list[Problem]:
        return await self._wire.ask(list[Problem], "POST", f"{API}/jobs/check", body=draft)


class ClientRuns:
    """See ``contract.Runs``; ``follow`` is what a program wants of ``contract.Events``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def start(self, job: str, params: dict[str, Any] | None = None, *, key: str | None = None) -> RunView:
        headers = {"Idempotency-Key": key} if key is not None else {}
        return await self._wire.ask(
            RunView, "POST", f"{_job(job)}/runs", body={"params": params or {}}, headers=headers
        )

    async def list(
        self, *, job: str | None = None, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> Page[RunView]:
        query = {"job": job, "state": state, "limit": limit, "cursor": cursor}
        return await self._wire.ask(Page[RunView], "GET", f"{API}/runs", query=query)

    async def get(self, run: str) -> RunView:
        return await self._wire.ask(RunView, "GET", _run(run))

    async def detail(self, run: str) -> RunDetail:
        return await self._wire.ask(RunDetail, "GET", f"{_run(run)}/detail")

    async def cancel(self, run: str) -> RunView:
        return await self._wire.ask(RunView, "POST", f"{_run(run)}/cancel")

    async def rejects(self, run: str, *, limit: int = 50, cursor: str | None = None) -> Page[Reject]:
        return await self._wire.ask(
            Page[Reject], "GET", f"{_run(run)}/rejects", query={"limit": limit, "cursor": cursor}
        )

    async def follow(self, run: str) -> AsyncGenerator[News]:
        """The news of one run, from how it stands now to its end; a lost connection is made again.

        Wrap it in ``contextlib.aclosing`` when you may leave the loop early.

        Raises:
            Unavailable: the daemon stays away.
            NotFound: there is no such run.
        """
        send, receive = trio.open_memory_channel[News | EtlplusError](0)
        pump = trio.CancelScope()
        self._wire.nursery.start_soon(self._pump, run, send, pump)
        try:
            async for told in receive:
                if isinstance(told, EtlplusError):
                    raise told
                yield told
        finally:
            pump.cancel()
            receive.close()

    async def _pump(self, run: str, send: trio.MemorySendChannel[News | EtlplusError], scope: trio.CancelScope) -> None:
        """Connect, again and again if need be, until the run has ended; runs in the client's own nursery."""
        with scope, send:
            held = _Held(run)
            failures = 0
            while True:
                before = held.told
                try:
                    await self._tell_all(held, send)
                    return
                except (ConnectionClosed, Unavailable) as error:
                    failures = 1 if held.told > before else failures + 1
                    if failures > RECONNECTS_MAX:
                        await send.send(Unavailable(f"the daemon stays away: {error}"))
                        return
                except EtlplusError as error:
                    await send.send(error)
                    return
                await trio.sleep(RECONNECT_AFTER_S)

    async def _tell_all(self, held: _Held, send: trio.MemorySendChannel[News | EtlplusError]) -> None:
        """Pass on what one connection says, until the run has ended."""
        async with self._wire.watch((f"run:{held.run}",)) as connection:
            while not held.finished:
                for told in held.news_of(_decode(await connection.get_message())):
                    await send.send(told)


class _Held:
    """What a follower knows of its run, so that nothing older is told again."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.told = 0
        self.finished = False
        self._version = 0

    def news_of(self, incoming: _Incoming) -> builtins.list[News]:
        """The news in a message; a snapshot counts as one piece when it is newer than what is held.

        Raises:
            NotFound, EtlplusError: the daemon refuses to tell.
        """
        match incoming:
            case SnapshotNews(runs, n):
                found: builtins.list[News] = [RunNews(n, run.created_at, run) for run in runs]
            case RefusedNews(code, detail):
                raise NotFound(detail) if code == "not_found" else EtlplusError(detail, code=code)
            case RunNews() | ProgressNews():
                found = [incoming]
            case _:
                found = []
        return [told for told in found if self._is_new(told)]

    def _is_new(self, told: News) -> bool:
        if isinstance(told, RunNews):
            if told.run.version <= self._version:
                return False
            self._version = told.run.version
            self.finished = told.run.finished
        self.told += 1
        return True


class ClientIdentity:
    """See ``contract.Identity``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def bootstrap(self, token: str, name: str, password: str) -> UserView:
        body = {"token": token, "name": name, "password": password}
        return await self._wire.ask(UserView, "POST", f"{API}/auth/bootstrap", body=body)

    async def sign_in(self, name: str, password: str) -> Grant:
        """See the contract; the client uses the token from now on."""
        grant: Grant = await self._wire.ask(
            Grant, "POST", f"{API}/auth/token", body={"name": name, "password": password}
        )
        self._wire.token = grant.access_token
        return grant

    async def me(self) -> UserView:
        return await self._wire.ask(UserView, "GET", f"{API}/auth/me")

    async def sign_out(self) -> None:
        await self._wire.ask(None, "POST", f"{API}/auth/logout")


class ClientSystem:
    """See ``contract.System``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def health(self) -> HealthView:
        return await self._wire.ask(HealthView, "GET", "/api/health")

    async def status(self) -> StatusView:
        return await self._wire.ask(StatusView, "GET", "/api/monitor/status")


class Client:
    """All facets of one daemon."""

    def __init__(self, wire: Wire) -> None:
        self.jobs = ClientJobs(wire)
        self.runs = ClientRuns(wire)
        self.identity = ClientIdentity(wire)
        self.system = ClientSystem(wire)


@asynccontextmanager
async def connect(url: str, *, token: str | None = None, websocket_url: str | None = None) -> AsyncGenerator[Client]:
    """
    A client of the daemon at ``url``.

    Args:
        token: A bearer token; without one, sign in first.
        websocket_url: Where the live monitoring listens; asked of the daemon when it is needed and not given.
    """
    async with httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S) as http, trio.open_nursery() as nursery:
        try:
            yield Client(Wire(http, nursery, url, websocket_url, token))
        finally:
            nursery.cancel_scope.cancel()


def _job(job: str) -> str:
    return f"{API}/jobs/{quote(job, safe='')}"


def _run(run: str) -> str:
    return f"{API}/runs/{quote(run, safe='')}"


def _known(version: int) -> dict[str, str]:
    return {"If-Match": f'"{version}"'}
