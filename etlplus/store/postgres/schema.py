"""
The schema: a new database gets ``schema.sql``, an older one becomes newer by the numbered files in ``migrations``, in order.

``run_live`` holds the unfinished runs and is all that claims, ticks and rescues look at; finishing moves the record to
``run``, which is only ever appended to. Records are kept whole, as JSON, beside the columns that statements look at; the
type is json and not jsonb, which refuses the NUL characters that a person's JSON may hold. Ids sort by their bytes.
"""

from __future__ import annotations

from importlib.resources import files

from etlplus.errors import Misconfigured
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.sql import admin as sql
from etlplus.store.upgrade import Upgrade

SCHEMA = "etlplus"


def _migrations() -> dict[str, str]:
    folder = files("etlplus.store.postgres") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in found}


_FOUND = _migrations()
NAMES, MIGRATIONS = tuple(_FOUND), tuple(_FOUND.values())
"""The first makes version 1."""
WHOLE = (files("etlplus.store.postgres") / "schema.sql").read_text("utf-8")
"""What all of them together make."""


async def migrate(db: Db, to: int | None = None) -> int:
    """Apply what the database lacks, all in the one transaction of this unit; nodes that start together take turns.

    Args:
        to: Go by the migrations and stop at this version; unless told, a new database gets the whole at once.

    Raises:
        Misconfigured: the schema was made by a newer program.
    """
    await db.execute(sql.LOCK_MIGRATIONS)
    await db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await db.execute(sql.CREATE_SCHEMA_VERSION)
    present = await _version(db)
    if present == 0 and to is None:
        await db.execute(WHOLE)
        await db.execute(sql.SCHEMA_REACHED, len(MIGRATIONS))
        return len(MIGRATIONS)
    for version, script in enumerate(MIGRATIONS[present:to], start=present + 1):
        await db.execute(script)
        await db.execute(sql.SCHEMA_REACHED, version)
    return to or len(MIGRATIONS)


async def upgrade(db: Db) -> Upgrade:
    """What ``migrate`` would do; nothing is changed.

    Raises:
        Misconfigured: the schema was made by a newer program.
    """
    present = await _version(db) if await db.fetchval(sql.HAS_SCHEMA_VERSION, f"{SCHEMA}.schema_version") else 0
    return Upgrade(present, NAMES[present:])


async def migrate_and_tell(db: Db) -> Upgrade:
    """Like ``migrate``; what was done. Of nodes that start together, one does it."""
    await db.execute(sql.LOCK_MIGRATIONS)
    done = await upgrade(db)
    await migrate(db)
    return done


async def _version(db: Db) -> int:
    present: int = await db.fetchval(sql.SCHEMA_VERSION)
    if present > len(MIGRATIONS):
        raise Misconfigured(
            f"the store is at schema version {present}, this program knows {len(MIGRATIONS)}: use the newer program",
            code="schema_newer",
        )
    return present
