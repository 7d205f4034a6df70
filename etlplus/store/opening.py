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
from etlplus.store.sqlite.body import open_sqlite


@asynccontextmanager
async def open_store(url: str, *, rng: Random | None = None) -> AsyncGenerator[Store]:
    """The store at ``sqlite:PATH`` or ``sqlite::memory:``, closed on leaving.

    Args:
        rng: Source of ids and jitter; a seeded one makes them repeatable.

    Raises:
        Misconfigured: the address is of no known kind, or the schema is newer than this program.
        StoreUnavailable: there is no store that answers.
    """
    kind, _, rest = url.partition(":")
    if kind != "sqlite" or not rest:
        problem = Problem(f"{url!r} is no address of a store", "/store/url", suggestion="sqlite:PATH, sqlite::memory:")
        raise Misconfigured("the store cannot be opened", [problem])
    async with open_sqlite(None if rest == ":memory:" else Path(rest), rng or Random()) as store:
        yield store
