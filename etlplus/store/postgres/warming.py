"""
What a store on PostgreSQL does before anybody asks: it has the statements of the hot path prepared.

Each is carried out once with nothing to do. The first runs of a service would wait for this otherwise, and all at once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import trio

from etlplus.store.postgres.bridge import OWN_CONNECTIONS, Bridge, Db, Lane
from etlplus.store.postgres.sql import claims, runs

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_NONE: list[Any] = []
_NOBODY = ""


async def warm_up(bridge: Bridge) -> None:
    """Make a run, claim it, end it; without one.

    Raises:
        StoreUnavailable: it does not answer.
    """
    await bridge.run(_make)
    await bridge.run(_claim, Lane.CLAIM)
    async with trio.open_nursery() as nursery:  # at once, so that each is carried by another connection
        for _ in range(OWN_CONNECTIONS[Lane.SETTLE]):
            nursery.start_soon(bridge.run, _end, Lane.SETTLE)


async def _make(db: Db) -> None:
    await db.fetch(runs.PUT_PLAIN_RUNS, *[_NONE] * 11)


async def _claim(db: Db) -> None:
    await db.fetch(claims.LOOK_AND_TAKE, _NOBODY, _LONG_AGO, 0, False, *[_NONE] * 3, 0)


async def _end(db: Db) -> None:
    await db.fetchrow(runs.FINISH, _LONG_AGO, *[_NONE] * 9, 0)
    await db.fetch(claims.HAND_OVER, _NOBODY, _LONG_AGO, False, 0, *[_NONE] * 12, 0)
