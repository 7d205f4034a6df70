"""
The bridge to PostgreSQL: asyncpg on an asyncio loop within Trio, the only place where the two flavors meet.

A unit of work is one asyncio coroutine and crosses over once. That is cheaper than a crossing per statement, and it is
what makes cancellation safe: Trio cancels by level, so a rollback awaited from Trio's side of a cancelled scope would be
cancelled again, and so would the release of the connection; asyncio cancels by edge, so within the one crossing both take
place, each within a bound, or the connection is cut.

The loop runs in a system task: no cancel scope of a caller or an embedder reaches it, so no query ever waits on a loop
that is gone. Leaving ``open_bridge`` ends every crossing as StoreUnavailable, then the connections, then the loop.

Heartbeat, claim and acknowledgement have connections of their own, so that a burst of one never delays another; ``lanes``
holds them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

import asyncpg
import trio

from etlplus.errors import Invalid, Misconfigured, StoreUnavailable
from etlplus.store.pooling import USUAL, LaneFigures, Pooling
from etlplus.store.postgres.lanes import CLEAN_UP_WITHIN_S, Connections, Lane
from etlplus.store.postgres.loop import Loop, open_loop
from etlplus.store.postgres.sessions import Sessions, unexpected_pooler

T = TypeVar("T")

ANSWER_WITHIN_S = 30.0
TRIES = 5
"""Of a unit that PostgreSQL refused only because of its neighbors (a deadlock): it has left no trace and may run again."""
AGAIN_AFTER_S = 0.01
"""Then, so that whoever waited for its locks has them first; else the two of them would meet in the same way again."""


OWN_CONNECTIONS = {Lane.BEAT: 1, Lane.CLAIM: 1, Lane.SETTLE: 2}
"""What these lanes have, always; how many the general lane has, the operator chooses. Slots are handed over in two calls."""


class Db(Protocol):
    """What a unit may ask of its connection; all in asyncio's flavor."""

    async def execute(self, query: str, *args: Any) -> str: ...

    async def fetch(self, query: str, *args: Any) -> list[Any]: ...

    async def fetchrow(self, query: str, *args: Any) -> Any: ...

    async def fetchval(self, query: str, *args: Any) -> Any: ...


Unit = Callable[[Db], Awaitable[T]]

_LOST: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What tells of the server or of the way to it, not of the unit; asyncpg has several classes for a lost connection."""


_AGAIN = (asyncpg.TransactionRollbackError, asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)
"""A neighbor was in the way, or changed the schema beneath a prepared statement: the same again will do."""
_REFUSED = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
"""Nobody may come in like that: for the operator to mend."""


class Bridge:
    """Carries units over. Made by ``open_bridge``."""

    def __init__(self, loop: Loop, rules: Pooling, rng: Random) -> None:
        self._loop = loop
        self._rules = rules
        self._rng = rng
        self._lanes: dict[Lane, Connections] = {}
        self._begin: dict[Lane, str] = {}
        self._crossings: set[trio.CancelScope] = set()
        self._quiet = trio.Event()
        self._closed = False
        self._units = self._again = self._cut = 0

    async def run(self, unit: Unit[T], lane: Lane = Lane.GENERAL, *, atomic: bool = True) -> T:
        """Carry a unit over and back, in one transaction unless it is a single statement (``atomic=False``).

        Cancellation: the unit took effect as a whole or not at all; its connection is free again when this returns.

        Raises:
            Invalid: a text cannot be kept by PostgreSQL (a NUL character).
            StoreUnavailable: closed, unreachable, or no answer in time; whether it took effect may be unknown.
        """
        self._units += 1
        connections = self._lanes[lane]
        with self._crossing() as scope:
            await connections.admit()
            scope.deadline = trio.current_time() + ANSWER_WITHIN_S
            try:
                return await self._loop.run(self._carry(unit, lane, atomic or self._rules.pgbouncer))
            finally:
                connections.leave()
        raise self._unanswered()

    def lanes(self) -> Mapping[str, LaneFigures]:
        """How the connections of each lane are."""
        return {lane.value: connections.figures() for lane, connections in self._lanes.items()}

    async def stay(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Carry over what is no unit and has no end of its own.

        Raises:
            StoreUnavailable: closed, or what it talks to is lost.
        """
        with self._crossing():
            return await self._loop.run(work())
        raise self._unanswered()

    def statistics(self) -> dict[str, float]:
        """Units carried, tries after a deadlock, connections cut; connections open and idle."""
        lanes = [connections.figures() for connections in self._lanes.values()]
        size, idle = sum(each.opened - each.closed for each in lanes), sum(each.idle for each in lanes)
        figures = {"units": self._units, "tries_again": self._again, "connections_cut": self._cut}
        return {**figures, "connections": size, "connections_idle": idle}

    async def tend(self) -> None:
        """Look after connections that nobody uses: age, health, number. A lane that is wholly in use is left alone.

        Raises:
            StoreUnavailable: a connection that is missing cannot be opened.
        """
        for connections in self._lanes.values():
            if not self._closed and connections.admit_nowait():
                with self._crossing() as scope:
                    scope.deadline = trio.current_time() + ANSWER_WITHIN_S
                    try:
                        await self._loop.run(connections.tend())
                    finally:
                        connections.leave()

    def distrust(self) -> None:
        """Drop all connections that nobody uses: the server or the way to it has gone since they were opened."""
        for connections in self._lanes.values():
            connections.distrust()

    async def connect(self, dsn: str, schema: str) -> None:
        """Open the lanes; the first connection of each is made now.

        Raises:
            Misconfigured: the address or the credentials are wrong, or a pooler is there that nobody told of.
            StoreUnavailable: nobody answers there.
        """
        with self._crossing() as scope:
            scope.deadline = trio.current_time() + ANSWER_WITHIN_S
            return await self._loop.run(self._open_lanes(Sessions(dsn, schema, self._rules)))
        raise self._unanswered()

    async def close(self) -> None:
        """End every crossing, then the connections. The caller shields this; it is bounded."""
        self._closed = True
        for scope in self._crossings:
            scope.cancel()
        while self._crossings:
            await self._quiet.wait()
        await self._loop.run(self._close_lanes())

    def _crossing(self) -> _Crossing:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return _Crossing(self._crossings, self._left)

    def _left(self) -> None:
        if not self._crossings:
            self._quiet.set()
            self._quiet = trio.Event()

    def _unanswered(self) -> StoreUnavailable:
        """Why a crossing ended of itself; a caller's Cancelled travels on."""
        return StoreUnavailable(
            "the store is closed" if self._closed else f"the store did not answer within {ANSWER_WITHIN_S:g} s"
        )

    async def _open_lanes(self, sessions: Sessions) -> None:
        try:
            for lane in Lane:
                most = OWN_CONNECTIONS.get(lane, self._rules.connections_max)
                least = OWN_CONNECTIONS.get(lane, self._rules.connections_min)
                connect = partial(sessions.open, lane)
                connections = Connections(lane, connect, self._rules, self._rng, least=least, most=most)
                self._lanes[lane], self._begin[lane] = connections, sessions.beginning(lane)
                held = await connections.take()
                try:
                    await sessions.refuse_pooler(held.db)
                finally:
                    await connections.give_back(held)
        except (*_REFUSED, ValueError) as error:
            raise Misconfigured(f"PostgreSQL refuses the store's address: {error}") from error
        except asyncpg.ProtocolViolationError as error:
            raise unexpected_pooler(str(error)) from error

    async def _close_lanes(self) -> None:
        for connections in self._lanes.values():
            await connections.close()

    async def _carry(self, unit: Unit[T], lane: Lane, atomic: bool) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._try(unit, lane, atomic)
            except _AGAIN:
                self._again += 1
                await asyncio.sleep(AGAIN_AFTER_S)
        return await self._try(unit, lane, atomic)

    async def _try(self, unit: Unit[T], lane: Lane, atomic: bool) -> T:
        connections = self._lanes[lane]
        held = await connections.take()
        try:
            if not atomic:
                return await unit(held.db)
            await held.db.execute(self._begin[lane])
            result = await unit(held.db)
            await held.db.execute("COMMIT")
        except BaseException:
            await self._undo(held.db, "ROLLBACK" if atomic else "SELECT 1")
            raise
        else:
            return result
        finally:
            await connections.give_back(held)

    async def _undo(self, db: Any, statement: str) -> None:
        """Roll back, or at least wait until the server has heard that its query is cancelled.

        PostgreSQL ignores a request to cancel that overtakes its query on the way; nobody learns of that, so the query would
        go on, its locks held. A connection that does not answer in time is cut, and the server rolls back for us.
        """
        try:
            async with asyncio.timeout(CLEAN_UP_WITHIN_S):
                await db.execute(statement)
        except BaseException as error:
            self._cut += 1
            db.terminate()
            if not isinstance(error, (asyncpg.PostgresError, *_LOST)):
                raise


class _Crossing:
    """One call over the bridge: registered, and its errors told in our words; whoever makes it sets the deadline."""

    def __init__(self, crossings: set[trio.CancelScope], left: Callable[[], None]) -> None:
        self._crossings = crossings
        self._left = left
        self._scope = trio.CancelScope()

    def __enter__(self) -> trio.CancelScope:
        self._crossings.add(self._scope)
        return self._scope.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        swallowed = bool(self._scope.__exit__(kind, error, trace))
        self._crossings.discard(self._scope)
        self._left()
        if isinstance(error, asyncpg.DataError):
            raise Invalid(f"the store cannot keep this: {error}") from error
        # asyncio's own CancelledError means that the connection went while nobody cancelled its unit. A unit that met the same
        # neighbors again and again has left no trace, and may be asked for later.
        if isinstance(error, (asyncio.CancelledError, asyncpg.TransactionRollbackError, *_LOST, *_REFUSED)):
            raise StoreUnavailable(f"the store does not answer: {str(error) or type(error).__name__}") from error
        return swallowed


@asynccontextmanager
async def open_bridge(
    dsn: str, schema: str, rules: Pooling = USUAL, rng: Random | None = None
) -> AsyncGenerator[Bridge]:
    """A bridge to the server at ``dsn``; names without a schema mean those in ``schema``.

    Args:
        rules: How many connections there are, and how long they live.
        rng: Source of the jitter of their lives.

    Raises:
        Misconfigured: the address or the credentials are wrong.
        StoreUnavailable: nobody answers there.
    """
    async with open_loop() as loop:
        bridge = Bridge(loop, rules, rng or Random())
        try:
            await bridge.connect(dsn, schema)
            yield bridge
        finally:
            with trio.CancelScope(shield=True):
                await bridge.close()
