"""
Routes of the letters facet.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from etlplus.service.choosing import Letters
from etlplus.service.contract import Contract
from etlplus.service.views import Discarded, LetterView, Page, Replays
from etlplus.web.routes.table import API, PAGE, Request, Route


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to replay, with which changes to their parameters; at most ``limit`` of them, oldest first."""

    which: Letters
    edit: dict[str, Any] = {}
    dry_run: bool = False
    limit: int = 1000


class Discard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters to discard, and why; at most ``limit`` of them, oldest first."""

    which: Letters
    reason: str
    limit: int = 1000


def _list(service: Contract, request: Request) -> Awaitable[Page[LetterView]]:
    which = Letters(
        **request.given("job", "queue", "code"),  # type: ignore[arg-type]  # none of these is one of the others' kind
        **request.moments("failed_from", "failed_before"),
    )
    return service.letters.list(which, resolved=request.flag("resolved"), **request.page())


def _replay(service: Contract, request: Request) -> Awaitable[Replays]:
    body: Replay = request.body
    return service.letters.replay(body.which, edit=body.edit, dry_run=body.dry_run, limit=body.limit)


def _discard(service: Contract, request: Request) -> Awaitable[Discarded]:
    body: Discard = request.body
    return service.letters.discard(body.which, reason=body.reason, limit=body.limit)


ROUTES: tuple[Route, ...] = (
    Route("GET", f"{API}/dead-letters", "letters.list", _list, Page[LetterView],
          "Runs that failed for good and wait for a person", "runs:read",
          query=(*PAGE, "job", "queue", "code", "failed_from", "failed_before", "resolved")),
    Route("POST", f"{API}/dead-letters/replay", "letters.replay", _replay, Replays,
          "Make new runs from dead letters", "letters:resolve", body=Replay, keyed=True),
    Route("POST", f"{API}/dead-letters/discard", "letters.discard", _discard, Discarded,
          "Resolve dead letters without a replay", "letters:resolve", body=Discard, keyed=True),
)  # fmt: skip
