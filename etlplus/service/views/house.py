"""
What the service shows of itself.
"""

from __future__ import annotations

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


class StatusView(msgspec.Struct, frozen=True):
    """The monitoring status: what runs, what waits, who works, and the tree of actors."""

    node: str
    worker_id: str
    version: str
    uptime_s: float
    slots: int
    slots_busy: int
    runs: dict[str, int]
    watchers: int
    stale_results: int
    horizon: HorizonView
    engine: dict[str, Any]
    tree: dict[str, Any]
