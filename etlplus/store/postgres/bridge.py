"""
The bridge to PostgreSQL: asyncpg on an asyncio loop within Trio, the only place where the two flavors meet.

A unit of work is one asyncio coroutine and crosses over once. That is cheaper than a crossing per statement, and it is
what makes cancellation safe: Trio cancels by level, so a rollback awaited from Trio's side of a cancelled scope would be
cancelled again, and so would the release of the connection; asyncio cancels by edge, so within the one crossing both take
place, each within a bound, or the connection is cut.

The loop runs in a system task: no cancel scope of a caller or an embedder reaches it, so no query ever waits on a loop
that is gone. Leaving ``open_bridge`` ends every crossing as StoreUnavailable, then the connections, then the loop.

Heartbeat, claim and acknowledgement have connections of their own, so that a burst of one never delays another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import asyncpg
import trio

from etlplus.errors import Invalid, Misconfigured, StoreUnavailable
from etlplus.store.postgres.loop import Loop, open_loop

T = TypeVar("T")

_asyncpg: Any = asyncpg
"""It ships no types."""

ANSWER_WITHIN_S = 30.0
CONNECT_WITHIN_S = 10.0
CLEAN_UP_WITHIN_S = 2.0
"""What a rollback or a release may take, before the connection is cut. PostgreSQL ignores a request to cancel that overtakes
its query on the way; nobody learns of that, so the query would go on, its locks held, and only cutting ends it."""
GONE_AFTER_MS = 500
"""How often the server looks, amid a query, whether we are still there; else a query that was cut would run to its end."""
TRIES = 5
"""Of a unit that PostgreSQL refused only because of its neighbors (a deadlock): it has left no trace and may run again."""
AGAIN_AFTER_S = 0.01
"""Then, so that whoever waited for its locks has them first; else the two of them would meet in the same way again."""


class Lane(StrEnum):
    """Which connections a unit travels on."""

    BEAT = "beat"
    CLAIM = "claim"
    SETTLE = "settle"
    GENERAL = "general"


CONNECTIONS = {Lane.BEAT: 1, Lane.CLAIM: 1, Lane.SETTLE: 1, Lane.GENERAL: 4}


FORCED_PLANS = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""On the hot path every statement goes from a few given rows to their lines by an index. A plan made while the tables were
small would say otherwise, and would be kept when they are not."""


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
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What tells of the server or of the way to it, not of the unit; asyncpg has several classes for a lost connection."""


class _Connection(asyncpg.Connection):
    """A connection that needs no reset between units: they leave no session state, and an open transaction is rolled back
    all the same."""

    def get_reset_query(self) -> str:
        return ""


class Bridge:
    """Carries units over. Made by ``open_bridge``."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pools: dict[Lane, Any] = {}
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
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._units += 1
        with self._crossing():
            return await self._loop.run(self._carry(unit, lane, atomic))
        raise StoreUnavailable(  # only our own scope ends here: a caller's Cancelled travels on
            "the store is closed" if self._closed else f"the store did not answer within {ANSWER_WITHIN_S:g} s"
        )

    def statistics(self) -> dict[str, float]:
        """Units carried, tries after a deadlock, connections cut; connections open and idle."""
        pools = list(self._pools.values())
        size, idle = sum(pool.get_size() for pool in pools), sum(pool.get_idle_size() for pool in pools)
        figures = {"units": self._units, "tries_again": self._again, "connections_cut": self._cut}
        return {**figures, "connections": size, "connections_idle": idle}

    async def connect(self, dsn: str, schema: str) -> None:
        """Open the lanes; the first connection of each is made now.

        Raises:
            Misconfigured: the address or the credentials are wrong.
            StoreUnavailable: nobody answers there.
        """
        try:
            with self._crossing():
                await self._loop.run(self._open_pools(dsn, schema))
        except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError, ValueError) as error:
            raise Misconfigured(f"PostgreSQL refuses the store's address: {error}") from error

    async def close(self) -> None:
        """End every crossing, then the connections. The caller shields this; it is bounded."""
        self._closed = True
        for scope in self._crossings:
            scope.cancel()
        while self._crossings:
            await self._quiet.wait()
        await self._loop.run(self._close_pools())

    def _crossing(self) -> _Crossing:
        return _Crossing(self._crossings, self._left)

    def _left(self) -> None:
        if not self._crossings:
            self._quiet.set()
            self._quiet = trio.Event()

    async def _open_pools(self, dsn: str, schema: str) -> None:
        # jit costs half a second for one claim; the schema keeps our names apart from the neighbors'.
        settings = {
            "jit": "off",
            "search_path": schema,
            "application_name": "etlplus",
            "client_connection_check_interval": f"{GONE_AFTER_MS}ms",
        }
        for lane, amount in CONNECTIONS.items():
            forced = FORCED_PLANS if lane in (Lane.CLAIM, Lane.SETTLE) else {}
            self._pools[lane] = await _asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=amount,
                timeout=CONNECT_WITHIN_S,
                connection_class=_Connection,
                server_settings=settings | forced,
            )

    async def _close_pools(self) -> None:
        for pool in self._pools.values():
            try:
                async with asyncio.timeout(CLEAN_UP_WITHIN_S):
                    await pool.close()
            except _LOST:
                pool.terminate()

    async def _carry(self, unit: Unit[T], lane: Lane, atomic: bool) -> T:
        for _ in range(TRIES - 1):
            try:
                return await self._try(unit, lane, atomic)
            except asyncpg.TransactionRollbackError:
                self._again += 1
                await asyncio.sleep(AGAIN_AFTER_S)
        return await self._try(unit, lane, atomic)

    async def _try(self, unit: Unit[T], lane: Lane, atomic: bool) -> T:
        pool = self._pools[lane]
        db = await pool.acquire()
        try:
            return await (self._transaction(db, unit) if atomic else unit(db))
        finally:
            await self._give_back(pool, db)

    async def _transaction(self, db: Any, unit: Unit[T]) -> T:
        transaction = db.transaction()
        try:
            await transaction.start()
        except BaseException:
            self._cut += 1
            db.terminate()  # asyncpg cannot tell whether it began, and would refuse to take the connection back
            raise
        try:
            result = await unit(db)
        except BaseException:
            await self._undo(db, transaction)
            raise
        await transaction.commit()
        return result

    async def _undo(self, db: Any, transaction: Any) -> None:
        """Roll back; a connection that will not is cut, and the server rolls back for us."""
        try:
            async with asyncio.timeout(CLEAN_UP_WITHIN_S):
                await transaction.rollback()
        except (asyncpg.PostgresError, *_LOST):
            self._cut += 1
            db.terminate()

    async def _give_back(self, pool: Any, db: Any) -> None:
        """Release; asyncpg waits for a cancelled query's end within the bound, or cuts the connection and makes another
        when it is needed."""
        try:
            await pool.release(db, timeout=CLEAN_UP_WITHIN_S)
        except (asyncpg.PostgresError, *_LOST):
            self._cut += 1
            db.terminate()


class _Crossing:
    """One call over the bridge: registered, bounded in time, and its errors told in our words."""

    def __init__(self, crossings: set[trio.CancelScope], left: Callable[[], None]) -> None:
        self._crossings = crossings
        self._left = left
        self._scope = trio.CancelScope(deadline=trio.current_time() + ANSWER_WITHIN_S)

    def __enter__(self) -> None:
        self._crossings.add(self._scope)
        self._scope.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> bool:
        swallowed = bool(self._scope.__exit__(kind, error, trace))
        self._crossings.discard(self._scope)
        self._left()
        if isinstance(error, asyncpg.DataError):
            raise Invalid(f"the store cannot keep this: {error}") from error
        # asyncio's own CancelledError means that the connection went while nobody cancelled its unit.
        if isinstance(error, (asyncio.CancelledError, *_LOST)):
            raise StoreUnavailable(f"the store does not answer: {error or type(error).__name__}") from error
        return swallowed


@asynccontextmanager
async def open_bridge(dsn: str, schema: str) -> AsyncGenerator[Bridge]:
    """A bridge to the server at ``dsn``; names without a schema mean those in ``schema``.

    Raises:
        Misconfigured: the address or the credentials are wrong.
        StoreUnavailable: nobody answers there.
    """
    async with open_loop() as loop:
        bridge = Bridge(loop)
        try:
            await bridge.connect(dsn, schema)
            yield bridge
        finally:
            with trio.CancelScope(shield=True):
                await bridge.close()
