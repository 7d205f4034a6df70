"""
Bells on PostgreSQL: NOTIFY on a channel for each bell, heard by a connection that does nothing else.

The bells for work share one channel, since nodes of an earlier version know only that. Of which kind the runs are is said by a
word beside it, which these do not heed; whoever says none, or one that is not known here, may mean runs of both.

A NOTIFY makes its transaction take a lock that the whole server has once, so none is put into a unit of work: bells are rung
after it, many at once, by a statement of their own that does not wait for the disk. Channels belong to a database, and carry
the name of the schema. What a node rings comes back to it too, and is told from others' bells by the server process that
rang. Behind a pooler these are not known; then a node hears its own bells, and looks once too often.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import asyncpg

from etlplus.errors import StoreUnavailable
from etlplus.store.bells import AT_FIRST, EVERYBODYS, WORK_OF, Bell
from etlplus.store.postgres.bridge import Bridge
from etlplus.store.postgres.schema import SCHEMA
from etlplus.store.postgres.sessions import CONNECT_WITHIN_S
from etlplus.store.postgres.sql import admin as sql

_asyncpg: Any = asyncpg
"""It ships no types."""

WORDS = {bell: "" if bell is Bell.WORK else str(bell) for bell in WORK_OF}
"""What is said beside the bells for work."""
_OF_WORDS = {word: bell for bell, word in WORDS.items()}

RINGERS_MAX = 16
"""Server processes that rang lately; more than a node has at a time."""


class Bells:
    """The bells of one node.

    Args:
        dsn: Where to listen: the address of the server itself, since behind a pooler nobody would be told. Empty: nowhere.
    """

    def __init__(self, bridge: Bridge, dsn: str, rng: Random) -> None:
        self._bridge = bridge
        self._dsn = dsn
        self._ringers: deque[int] = deque(maxlen=RINGERS_MAX)
        self._channels = {bell: f"{SCHEMA}_{Bell.WORK if bell in WORK_OF else bell}" for bell in EVERYBODYS}
        self._channels[Bell.TEST] = f"{SCHEMA}_{Bell.TEST}_{rng.getrandbits(64):016x}"

    async def ring(self, bells: frozenset[Bell]) -> None:
        """Ring each once."""
        channels = [self._channels[bell] for bell in sorted(bells)]
        words = [WORDS.get(bell, "") for bell in sorted(bells)]

        async def unit(db: Any) -> None:
            if (process := db.get_server_pid()) not in self._ringers:
                self._ringers.append(process)
            await db.execute(sql.NOTIFY, channels, words)

        await self._bridge.run(unit, atomic=False)

    async def hear(self, heard: Callable[[Bell], None]) -> None:
        """See ``NodeStore.hear``."""
        if not self._dsn:
            raise StoreUnavailable("nothing is heard behind a pooler; store.postgres.listen_url says where to listen")
        await self._bridge.stay(lambda: self._listen(heard))

    async def _listen(self, heard: Callable[[Bell], None]) -> None:
        db = await _asyncpg.connect(
            self._dsn, timeout=CONNECT_WITHIN_S, server_settings={"application_name": "etlplus-listener"}
        )
        lost = asyncio.Event()

        def lose(_: Any) -> None:
            lost.set()

        db.add_termination_listener(lose)
        try:
            for bell in (*AT_FIRST, Bell.TEST):
                await db.add_listener(self._channels[bell], self._hearer(bell, heard))
            for bell in sorted(AT_FIRST):
                heard(bell)
            await lost.wait()
        finally:
            db.terminate()
        raise StoreUnavailable("the connection that listens was lost")

    def _hearer(self, bell: Bell, heard: Callable[[Bell], None]) -> Callable[[Any, int, str, str], None]:
        def hear(_: Any, process: int, channel: str, payload: str) -> None:
            if bell is Bell.TEST or process not in self._ringers:
                heard(_OF_WORDS.get(payload, bell) if bell is Bell.WORK else bell)

        return hear
