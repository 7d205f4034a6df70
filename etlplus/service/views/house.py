"""
What the service shows of itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class CheckView(msgspec.Struct, frozen=True):
    """One thing that was looked at: ``status`` is pass, warn or fail; ``detail`` says why in a sentence."""

    name: str
    status: str
    detail: str = ""


class HealthView(msgspec.Struct, frozen=True):
    """The whole in one word (pass, warn, fail), the parts behind it, and where the live monitoring listens."""

    status: str
    checks: list[CheckView]
    version: str
    uptime_s: float
    monitoring_port: int | None = None


class HorizonView(msgspec.Struct, frozen=True):
    """What keeps the store from cleaning up behind itself: for how long, who (null: nobody), and the share of dead rows."""

    oldest_s: float
    culprit: str | None
    dead_ratio: float


class LaneView(msgspec.Struct, frozen=True):
    """The connections of one lane to the store: in use, idle, units that wait for one; opened and closed since the start."""

    in_use: int
    idle: int
    waiting: int
    opened: int
    closed: int


class StoreView(msgspec.Struct, frozen=True):
    """The store: ``available``, or in an ``outage`` for a ``reason``; since when; how long it took to answer; how many
    outages there were since the start; and its connections by lane, if it has any.
    """

    state: str
    since: datetime
    reason: str
    latency_s: float
    outages: int
    lanes: dict[str, LaneView]


class StatusView(msgspec.Struct, frozen=True):
    """The monitoring status: what runs, what waits, who works, and the tree of actors. While the store is out, what is
    counted there is not known: ``runs``, ``dead_letters`` and ``stale_results`` are null.
    """

    node: str
    worker_id: str
    version: str
    uptime_s: float
    slots: int
    slots_busy: int
    runs: dict[str, int] | None
    watchers: int
    dead_letters: int | None
    stale_results: int | None
    store: StoreView
    horizon: HorizonView
    engine: dict[str, Any]
    tree: dict[str, Any]
