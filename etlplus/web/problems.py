"""
Errors as people on the other side see them: one table from our kinds to HTTP, and RFC 9457 bodies.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

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

CONTENT_TYPE = "application/problem+json"
REALM = 'Bearer realm="etlplus"'

STATUS: dict[type[EtlplusError], int] = {
    Invalid: 422,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    Unauthenticated: 401,
    Forbidden: 403,
    TooMany: 429,
    Unavailable: 503,
}
"""The status of each kind of error; a kind within a kind has that one's status unless it stands here itself."""

TITLES = {
    400: "Bad request",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Too slow",
    409: "Conflict",
    412: "Changed meanwhile",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not accepted",
    428: "Precondition required",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available now",
}


class ProblemBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every answer that is not a success. ``code`` is stable and meant for programs."""

    type: str
    title: str
    status: int
    code: str
    detail: str = ""
    instance: str = ""
    scope: str = ""
    errors: list[Problem] = []


class HttpError(Exception):
    """An error that only HTTP knows (a wrong media type, a missing precondition)."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}


def body(status: int, code: str, detail: str, request_id: str, **more: Any) -> bytes:
    """The encoded body of a problem."""
    problem = ProblemBody(
        type=f"urn:etlplus:problem:{code}",
        title=TITLES.get(status, "Error"),
        status=status,
        code=code,
        detail=detail,
        instance=f"urn:etlplus:request:{request_id}",
        **more,
    )
    return msgspec.json.encode(problem)


def of_error(error: EtlplusError, request_id: str, *, had_token: bool) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one of our errors."""
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == 500:
        return 500, {}, body(500, "internal", "something went wrong on our side", request_id)
    more: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, (Invalid, Conflict)):
        more["errors"] = list(error.problems)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = f'{REALM}, error="invalid_token"' if had_token else REALM
    if isinstance(error, Forbidden):
        headers["WWW-Authenticate"] = f'{REALM}, error="insufficient_scope", scope="{error.scope}"'
        more["scope"] = error.scope
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    if isinstance(error, Unavailable):
        headers["Retry-After"] = "1"
    return status, headers, body(status, error.reason, error.message, request_id, **more)
