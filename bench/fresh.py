"""
An empty store for each measurement, so that what one leaves behind is no burden of the next.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg

_numbers = count()


@contextmanager
def fresh_store(server: str) -> Generator[str]:
    """The address of an empty store: a database on this PostgreSQL server, or a file if ``server`` is empty."""
    if not server:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            yield f"sqlite:{Path(folder) / 'store.sqlite'}"
        return
    name = f"bench{next(_numbers)}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield server.replace("/postgres?", f"/{name}?")
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    asyncpg_: Any = asyncpg

    async def main() -> None:
        db = await asyncpg_.connect(url)
        await db.execute(statement)
        await db.close()

    with ThreadPoolExecutor(1) as pool:  # Trio may be running in this thread, and asyncio will not share it
        pool.submit(lambda: asyncio.run(main())).result()
