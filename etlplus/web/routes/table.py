"""
What a route is, and what it gets of a request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from etlplus.errors import Invalid, Problem
from etlplus.service.contract import Contract
from etlplus.service.permissions import Permission

API = "/api/v1"
PAGE = ("limit", "cursor")


@dataclass(frozen=True, slots=True)
class Request:
    """What a route gets: the parts of the path, the query, the decoded body, and the headers that matter."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    key: str | None = None
    version: int | None = None

    def given(self, *names: str) -> dict[str, str]:
        """Those of these query parameters that are there."""
        return {name: self.query[name] for name in names if name in self.query}

    def numbers(self, *names: str) -> dict[str, int]:
        """The same, as whole numbers."""
        return {name: _number(name, text) for name, text in self.given(*names).items()}

    def moments(self, *names: str) -> dict[str, datetime]:
        """The same, as moments with an offset from UTC."""
        return {name: _moment(name, text) for name, text in self.given(*names).items()}

    def flag(self, name: str) -> bool:
        """Whether a parameter says true; left out, it says false."""
        text = self.query.get(name, "false")
        if text not in ("true", "false"):
            raise _refused(name, text, "true or false")
        return text == "true"

    def page(self) -> dict[str, Any]:
        """The arguments of a page."""
        return self.given("cursor") | self.numbers("limit")


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise _refused(name, text, "a whole number")
    return int(text[:9])  # far more than anything of ours, and no number that takes long to read


def _moment(name: str, text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _refused(name, text, "a date, a time and an offset, such as 2026-03-28T12:00:00Z")
    return moment


def _refused(name: str, text: str, accepted: str) -> Invalid:
    return Invalid("the query is not accepted", [Problem(f"{name} is {text!r}", f"/{name}", suggestion=accepted)])


Call = Callable[[Contract, Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """
    One route.

    Args:
        call: What it calls; ``name`` is that method as ``facet.method``.
        answer: What it answers with, None for nothing.
        permission: What the caller must hold, or None for an open route.
        signed_in: Whether a token is needed at all.
        versioned: Whether ``If-Match`` must name the version that the caller knows.
        keyed: Whether an ``Idempotency-Key`` makes asking again harmless.
        again: The answer of a keyed route from the ids of the runs that it made, should the first answer be lost.
        query: The accepted query parameters.
        etag: Whether the answer's version becomes its ETag.
        body_times: How many times as large as others its body may be, if the caller may call it.
    """

    method: str
    path: str
    name: str
    call: Call
    answer: Any
    summary: str
    permission: Permission | None = None
    signed_in: bool = True
    body: type[Any] | None = None
    status: int = 200
    versioned: bool = False
    keyed: bool = False
    again: Callable[[Contract, Sequence[str]], Awaitable[Any]] | None = None
    query: tuple[str, ...] = ()
    etag: bool = False
    body_times: int = 1
