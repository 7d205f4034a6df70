"""
Opening a store by its address.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from etlplus.errors import Misconfigured, Problem
from etlplus.store.contract import Store
from etlplus.store.pooling import USUAL, Pooling
from etlplus.store.sqlite.body import open_sqlite

KINDS = "sqlite:PATH, sqlite::memory: or postgresql://USER@HOST/DATABASE"


@asynccontextmanager
async def open_store(url: str, *, rng: Random | None = None, pooling: Pooling = USUAL) -> AsyncGenerator[Store]:
    """The store at ``sqlite:PATH``, ``sqlite::memory:`` or ``postgresql://…``, closed on leaving.

    Args:
        rng: Source of ids and jitter; a seeded one makes them repeatable.
        pooling: Rules for the connections to PostgreSQL.

    Raises:
        Misconfigured: the address is of no known kind, or the schema is newer than this program.
        StoreUnavailable: there is no store that answers.
    """
    kind, _, rest = url.partition(":")
    if kind in ("postgresql", "postgres"):
        from etlplus.store.postgres.body import open_postgres  # asyncio and its driver come only to those who use it

        async with open_postgres(url, rng or Random(), pooling) as store:
            yield store
        return
    if kind != "sqlite" or not rest:
        problem = Problem(f"{url!r} is no address of a store", "/store/url", suggestion=KINDS)
        raise Misconfigured("the store cannot be opened", [problem])
    async with open_sqlite(None if rest == ":memory:" else Path(rest), rng or Random()) as store:
        yield store
