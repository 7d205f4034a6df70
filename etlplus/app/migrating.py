"""
Bringing the schema of a store to the version of this program, or saying what that would do, without starting a service.

A service does the same when it starts. To do it apart is for those who want to see it coming, or to have it done before the
first of many nodes starts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from etlplus.app.place import data_dir, store_file, store_url
from etlplus.engines.tenancy import hold
from etlplus.errors import StoreUnavailable
from etlplus.settings import Settings
from etlplus.store.pooling import Pooling
from etlplus.store.sqlite import schema as sqlite
from etlplus.store.upgrade import Upgrade

if TYPE_CHECKING:
    from etlplus.store.postgres.bridge import Unit


async def find_upgrade(settings: Settings) -> Upgrade:
    """What a start of this program would do to the schema of its store; nothing is changed.

    Raises:
        Misconfigured: the schema is newer than this program (code ``schema_newer``), or the address is wrong.
        StoreUnavailable: nobody answers there.
    """
    if _on_postgres(settings):
        from etlplus.store.postgres import schema  # asyncio and its driver come only to those who use it

        return await _on_bridge(settings, schema.upgrade)
    file = store_file(settings)
    return _on_file(file, sqlite.upgrade, "ro") if file.exists() else Upgrade(0, sqlite.NAMES)


async def migrate(settings: Settings) -> Upgrade:
    """Do it; what was done. Nodes on one PostgreSQL may run meanwhile; on a file nobody else may.

    Raises:
        Conflict: a service has the data directory (code ``data_dir_in_use``).
        Misconfigured, StoreUnavailable: as above.
    """
    if _on_postgres(settings):
        from etlplus.store.postgres import schema

        return await _on_bridge(settings, schema.migrate_and_tell)
    with hold(data_dir(settings)):
        return _on_file(store_file(settings), _migrate_file, "rwc")


def _on_postgres(settings: Settings) -> bool:
    return store_url(settings).startswith("postgres")


async def _on_bridge(settings: Settings, unit: Unit[Upgrade]) -> Upgrade:
    from etlplus.store.postgres.bridge import open_bridge
    from etlplus.store.postgres.schema import SCHEMA

    rules = msgspec.convert(settings.store.postgres, Pooling, from_attributes=True)
    async with open_bridge(store_url(settings), SCHEMA, rules) as bridge:
        return await bridge.run(unit)


def _on_file(file: Path, unit: Callable[[sqlite3.Connection], Upgrade], mode: str) -> Upgrade:
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode={mode}", uri=True, isolation_level=None)) as db:
            return unit(db)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {file} cannot be opened: {error}") from error


def _migrate_file(db: sqlite3.Connection) -> Upgrade:
    done = sqlite.upgrade(db)
    sqlite.migrate(db)
    return done
