"""
The tree as it is now, as plain records for dashboards and tests.
"""

from __future__ import annotations

import msgspec


class ActorSnapshot(msgspec.Struct, frozen=True):
    """One actor: where it stands, how it is, how long its mailbox is, and what it has done."""

    path: str
    status: str
    queued: int
    sent: int
    handled: int
    rejected: int
    shed: int
    undelivered: int
    restarts: int


class TreeSnapshot(msgspec.Struct, frozen=True):
    """A supervisor with its actors and supervisors, in start order."""

    path: str
    strategy: str
    restarts: int
    actors: list[ActorSnapshot]
    supervisors: list[TreeSnapshot]
