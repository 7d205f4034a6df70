"""
How an older schema becomes a newer one: the numbered files in ``migrations``, in order.

``run_live`` holds the unfinished runs and is all that claims, ticks and rescues look at; finishing moves the record to
``run``, which is only ever appended to. Records are kept whole, as JSON, beside the columns that statements look at; the
type is json and not jsonb, which refuses the NUL characters that a person's JSON may hold. Ids sort by their bytes.
"""

from __future__ import annotations

from importlib.resources import files

from etlplus.errors import Misconfigured
from etlplus.store.postgres.bridge import Db
from etlplus.store.postgres.sql import admin as sql

SCHEMA = "etlplus"


def scripts() -> list[str]:
    """The migrations; the first makes version 1."""
    folder = files("etlplus.store.postgres") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in found]


MIGRATIONS = tuple(scripts())


async def migrate(db: Db, to: int = len(MIGRATIONS)) -> int:
    """Apply what the database lacks, all in the one transaction of this unit; nodes that start together take turns.

    Raises:
        Misconfigured: the schema was made by a newer program.
    """
    await db.execute(sql.LOCK_MIGRATIONS)
    await db.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    await db.execute(sql.CREATE_SCHEMA_VERSION)
    present: int = await db.fetchval(sql.SCHEMA_VERSION)
    if present > len(MIGRATIONS):
        raise Misconfigured(
            f"the store is at schema version {present}, this program knows {len(MIGRATIONS)}: use the newer program",
            code="schema_newer",
        )
    for version, script in enumerate(MIGRATIONS[present:to], start=present + 1):
        await db.execute(script)
        await db.execute(sql.SCHEMA_REACHED, version)
    return max(present, to)
