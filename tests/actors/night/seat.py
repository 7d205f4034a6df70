"""
The store as one node has it: the runs are those of all, the bells its own, and the time is that of the house.

On PostgreSQL each node has a body of the store to itself, and they meet in the database alone. Here they share the one body
that may hold a file; what sets them apart from each other is put in between.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import trio

from etlplus.store.bells import AT_FIRST, EVERYBODYS, Bell, Pulled
from etlplus.store.sqlite.body import SqliteStore

from .times import virtual_now

Hearer = Callable[[Bell], None]


class Belfry(Protocol):
    """What a seat needs of its house: who hears, whether anything is heard, and whether somebody knows the time."""

    store: SqliteStore
    hearers: dict[Hearer, SqliteStore]
    silent: bool
    tells_time: bool


class Seat(SqliteStore):
    """See the module."""

    def __init__(self, house: Belfry) -> None:
        vars(self).update(vars(house.store))
        self._pulled = Pulled()
        self._house = house

    async def ring(self) -> frozenset[Bell]:
        """As on PostgreSQL, others hear what is rung, and who rings hears the test alone."""
        await trio.lowlevel.checkpoint()
        bells = self._pulled.take()
        if not self._house.silent:
            for heard, seat in list(self._house.hearers.items()):
                for bell in sorted(bells & ({Bell.TEST} if seat is self else EVERYBODYS)):
                    heard(bell)
        return bells

    async def hear(self, heard: Hearer) -> None:
        self._house.hearers[heard] = self
        try:
            for bell in sorted(AT_FIRST):
                heard(bell)
            await trio.sleep_forever()
        finally:
            del self._house.hearers[heard]

    async def time(self) -> datetime | None:
        await trio.lowlevel.checkpoint()
        return virtual_now() if self._house.tells_time else None
