"""
A clean place on a server for one measurement, and nothing left of it afterwards.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import asyncpg
import redis

VALKEY_DATABASE = 15  # the last of the sixteen there are by default: whoever shares the server starts with the first


@contextmanager
def clean_place(server: str, addresses: Mapping[str, str]) -> Generator[str]:
    """An address that belongs to nobody else: a new database of PostgreSQL, or an emptied one of Valkey."""
    with {"postgres": _database, "valkey": _emptied}[server](addresses[server]) as address:
        yield address


@contextmanager
def _database(address: str) -> Generator[str]:
    name = f"peer_{uuid.uuid4().hex}"
    asyncio.run(_execute(address, f"CREATE DATABASE {name}"))
    try:
        yield urlsplit(address)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(_execute(address, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _emptied(address: str) -> Generator[str]:
    own = f"{address}?db={VALKEY_DATABASE}"
    with redis.Redis.from_url(own) as valkey:
        valkey.flushdb()
        try:
            yield own
        finally:
            valkey.flushdb()
