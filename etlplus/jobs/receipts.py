"""
Requests that take effect once, however often they are made: what is kept of each, and what asking again means.

The receipt is written in the unit that does the deed, so there is never one without the other; the answer is kept after it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

import msgspec

KEPT_S = 86_400.0
"""For so long, asking again with the same key is the same question."""
ANSWERED_WITHIN_S = 30.0
"""An answer that has not been kept so long after its deed never will be: whoever was to keep it is gone."""


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """A request that shall take effect once. ``key`` is the asker's own, unique among those of one ``principal``;
    ``fingerprint`` is the same for the same request, and ``route`` says for people what was asked.
    """

    principal: str
    key: str
    route: str
    fingerprint: str
    at: datetime

    @property
    def expires_at(self) -> datetime:
        """When the key is free again."""
        return self.at + timedelta(seconds=KEPT_S)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was answered: a status, the headers that belong to it, and the body as it was sent."""

    status: int
    headers: dict[str, str] = {}
    body: bytes = b""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A deed that was done. ``made`` are the ids of the runs that answer it, in order; ``answer`` is None until it is kept."""

    route: str
    fingerprint: str
    done_at: datetime
    made: tuple[str, ...] = ()
    answer: Answer | None = None


class Again(Enum):
    """What asking again with a key means."""

    SAME = "the same request: it has its answer"
    OTHER = "another request with the same key"
    UNDER_WAY = "the same request, while the first is being answered"
    UNANSWERED = "the same request: it took effect, and its answer was lost"


def judge(receipt: Receipt, once: Once) -> Again:
    """What it means that this request finds this receipt."""
    if receipt.fingerprint != once.fingerprint:
        return Again.OTHER
    if receipt.answer is not None:
        return Again.SAME
    lost = once.at - receipt.done_at >= timedelta(seconds=ANSWERED_WITHIN_S)
    return Again.UNANSWERED if lost else Again.UNDER_WAY
