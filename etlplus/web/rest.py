"""
REST: the table of routes as a Quart application over the service.

One path for every request: limit, token, body, call, answer. Whatever goes wrong on it becomes a problem document; what we
did not expect is logged with the request's id, and the client learns that id and nothing else.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Any

import msgspec
import structlog
import trio
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException

import etlplus
from etlplus.errors import EtlplusError, Invalid, NotFound, Problem, TooMany, Unauthenticated
from etlplus.jobs.receipts import Answer
from etlplus.pipeline.complaints import problem_of
from etlplus.service.contract import Contract
from etlplus.web import openapi
from etlplus.web.duplicates import duplicate_names
from etlplus.web.limits import RateLimit, Verdict
from etlplus.web.once import answer_once
from etlplus.web.problems import CONTENT_TYPE, HttpError, body, of_error
from etlplus.web.routes import ROUTES, Request, Route

log = structlog.get_logger()

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
BURST = 200
PER_S = 100.0
SIGN_IN_BURST = 10
SIGN_IN_PER_S = 0.2
KEY_MAX = 200
METRICS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class Rest:
    """The application; ``app`` is what the listener serves."""

    def __init__(self, service: Contract) -> None:
        self._service = service
        self._general = RateLimit(burst=BURST, per_s=PER_S)
        self._sign_in = RateLimit(burst=SIGN_IN_BURST, per_s=SIGN_IN_PER_S)
        self._decoders = {route.body: msgspec.json.Decoder(route.body) for route in ROUTES if route.body is not None}
        self._document = msgspec.json.encode(openapi.document(etlplus.__version__))
        self.app = QuartTrio("etlplus", static_folder=None)
        self.app.url_map.merge_slashes = False  # a path with two slashes is not there, rather than somewhere else
        for route in ROUTES:
            self._add(route)
        self.app.add_url_rule(openapi.PATH, "openapi", self._openapi, methods=["GET"], provide_automatic_options=False)
        self.app.register_error_handler(HTTPException, self._not_routed)

    def _add(self, route: Route) -> None:
        async def handle(**path: str) -> Response:
            return await self._answer(route, path)

        self.app.add_url_rule(route.path, route.name, handle, methods=[route.method], provide_automatic_options=False)

    async def body_times(self, scope: dict[str, Any]) -> int:
        """How many times as large as ordinary the body of a request may be, judged by its head: more than once only where the
        route takes so much and its sender may call it.
        """
        route = next((r for r in ROUTES if (r.method, r.path) == (scope["method"], scope["path"])), None)
        given = (value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization")
        token = _bearer(next(given, ""))
        if route is None or route.body_times == 1 or route.permission is None or token is None:
            return 1
        with suppress(EtlplusError):  # whoever may not call it gets no more room than others
            (await self._service.identity.authenticate(token)).must(route.permission)
            return route.body_times
        return 1

    async def _openapi(self) -> Response:
        return _response(200, self._document, "application/json", _request_id())

    async def _not_routed(self, error: HTTPException) -> Response:
        """What the framework itself refuses: 404, 405 and their like."""
        status, request_id = error.code or 500, _request_id()
        code = {404: "no_such_path", 405: "method_not_allowed"}.get(status, "bad_request")
        headers = {name: value for name, value in error.get_headers() if name == "Allow"}
        return _response(
            status, body(status, code, error.description or "", request_id), CONTENT_TYPE, request_id, headers
        )

    async def _answer(self, route: Route, path: dict[str, str]) -> Response:
        request_id = _request_id()
        token = _bearer(request.headers.get("Authorization", ""))
        verdict = self._count(route)
        headers = _limit_headers(verdict)
        try:
            if not verdict.allowed:
                raise TooMany("too many requests", retry_after_s=verdict.retry_after_s)
            return await self._call(route, path, token, request_id, headers)
        except HttpError as error:
            data = body(error.status, error.code, error.detail, request_id)
            return _response(error.status, data, CONTENT_TYPE, request_id, headers | error.headers)
        except EtlplusError as error:
            status, more, data = of_error(error, request_id, had_token=token is not None)
            if status == 500:
                log.error("request_failed", request=request_id, route=route.name, exc_info=error)
            return _response(status, data, CONTENT_TYPE, request_id, headers | more)
        except Exception as error:
            log.error("request_failed", request=request_id, route=route.name, exc_info=error)
            data = body(500, "internal", "something went wrong on our side", request_id)
            return _response(500, data, CONTENT_TYPE, request_id, headers)

    async def _call(
        self, route: Route, path: dict[str, str], token: str | None, request_id: str, headers: dict[str, str]
    ) -> Response:
        service = self._service
        if route.signed_in:
            if token is None:
                raise Unauthenticated("this needs a bearer token")
            service = service.acting_as(who := await service.identity.authenticate(token))
            if route.permission is not None:
                who.must(route.permission)
        if any("\0" in part for part in path.values()):
            raise NotFound("nothing of ours has a NUL character in its name")
        asked = Request(path, _query(route), await self._body(route), _key(route), _version(route))
        answer = await self._answer_of(route, service, asked)
        content_type = METRICS_TEXT if route.answer is bytes else "application/json"
        return _response(answer.status, answer.body, content_type, request_id, headers | answer.headers)

    async def _answer_of(self, route: Route, service: Contract, asked: Request) -> Answer:
        async def carry_out(service: Contract) -> Answer:
            value = await route.call(service, asked)
            headers = {"ETag": f'"{value.version}"'} if route.etag else {}
            body = value if isinstance(value, bytes) else b"" if route.status == 204 else msgspec.json.encode(value)
            return Answer(status=route.status, headers=headers, body=body)

        if asked.key is None:
            return await carry_out(service)
        return await answer_once(service, route, asked, asked.key, carry_out)

    def _count(self, route: Route) -> Verdict:
        """Open doors that take a password are limited far more strictly; the key is the client's address."""
        limit = self._sign_in if route.body is not None and not route.signed_in else self._general
        return limit.ask(request.remote_addr or "", trio.current_time())

    async def _body(self, route: Route) -> Any:
        if route.body is None:
            return None
        if request.mimetype != "application/json":
            raise HttpError(415, "unsupported_media_type", "the body must be application/json")
        data = await request.get_data()
        try:
            decoded = self._decoders[route.body].decode(data)
            twice = duplicate_names(data)
        except msgspec.ValidationError as error:
            raise Invalid("the body is not accepted", [_misfit(error, data, route.body)]) from None
        except RecursionError:
            raise Invalid("the body is not accepted", [Problem("it is nested too deeply")], code="too_deep") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HttpError(400, "malformed_json", f"the body is no JSON: {error}") from None
        if twice:
            raise Invalid("the body is not accepted", twice, code="duplicate_name")
        return decoded


def _misfit(error: msgspec.ValidationError, data: str | bytes, kind: Any) -> Problem:
    """What is wrong with a body that does not fit its type. Should it be no JSON further on, that does not matter any more."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    return problem_of(error, value, kind)


def _query(route: Route) -> dict[str, str]:
    for name, value in request.args.items():
        if name not in route.query:
            accepted = ", ".join(route.query) or "none"
            unknown = Problem(f"there is no parameter {name!r}", f"/{name}", suggestion=accepted)
            raise Invalid("the query is not accepted", [unknown])
        if "\0" in value:  # which not every store takes as text
            raise Invalid("the query is not accepted", [Problem(f"{name} has a NUL character in it", f"/{name}")])
        if len(request.args.getlist(name)) > 1:
            raise Invalid("the query is not accepted", [Problem(f"{name} is given twice", f"/{name}")])
    return request.args.to_dict()


def _key(route: Route) -> str | None:
    if not route.keyed:
        return None
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not 1 <= len(key) <= KEY_MAX or not (key.isascii() and key.isprintable()):
        wrong = Problem(f"{key[:KEY_MAX]!r} is no key", suggestion=f"1 to {KEY_MAX} printable ASCII characters")
        raise Invalid("the Idempotency-Key is not accepted", [wrong])
    return key


def _version(route: Route) -> int | None:
    if not route.versioned:
        return None
    given = request.headers.get("If-Match")
    if given is None:
        raise HttpError(428, "precondition_required", "send If-Match with the ETag of the version you know")
    bare = given.strip().strip('"')
    if not bare.isdecimal():
        raise HttpError(412, "stale_version", "If-Match names no version of ours")
    return int(bare)


def _bearer(authorization: str) -> str | None:
    kind, _, token = authorization.partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else None


def _request_id() -> str:
    """The client's own id for the request if it is harmless, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if given.isascii() and given.replace("-", "").isalnum() and len(given) <= 64 else secrets.token_hex(8)


def _limit_headers(verdict: Verdict) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(verdict.reset_s),
    }


def _response(
    status: int, data: bytes, content_type: str, request_id: str, headers: dict[str, str] | None = None
) -> Response:
    response = Response(data, status=status, content_type=content_type)
    for name, value in (HEADERS | (headers or {}) | {"X-Request-Id": request_id}).items():
        response.headers[name] = value
    return response
