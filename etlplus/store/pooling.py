"""
How a store keeps its connections: what the operator may choose, and what can be seen from outside.
"""

from __future__ import annotations

import msgspec

from etlplus.telemetry.histogram import Histogram


class Pooling(msgspec.Struct, frozen=True, kw_only=True):
    """Rules for connections to PostgreSQL; ``etlplus.settings`` says what each means to the operator.

    ``connections_min`` and ``connections_max`` are those of the general lane: heartbeats, claims and acknowledgements
    always have four of their own beside them. ``listen_url`` is where bells are heard, if that is not the address of the store.
    """

    connections_min: int = 1
    connections_max: int = 4
    lifetime_s: float = 1800.0
    idle_s: float = 300.0
    check_s: float = 30.0
    acquire_timeout_s: float = 10.0
    pgbouncer: bool = False
    listen_url: str = ""


USUAL = Pooling()
"""What holds where nobody chose anything."""


class LaneFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one lane now: in use, idle, and units that wait for one; since the opening of the store, how many
    were opened and closed, and how long units have waited, in seconds.
    """

    in_use: int
    idle: int
    waiting: int
    opened: int
    closed: int
    waits: Histogram
