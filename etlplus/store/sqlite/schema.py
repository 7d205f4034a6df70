"""
The schema: a new file gets ``schema.sql``, an older one becomes newer by the numbered files in ``migrations``, in order.

Records are kept whole, as JSON, beside the few columns that statements look at. ``run_live`` holds the unfinished runs
only: it is what claims, ticks and rescues scan, and it stays small however long the history grows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from etlplus.errors import Misconfigured
from etlplus.store.upgrade import Upgrade


def _migrations() -> dict[str, str]:
    folder = files("etlplus.store.sqlite") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return {file.name.removesuffix(".sql"): file.read_text("utf-8") for file in found}


_FOUND = _migrations()
NAMES, MIGRATIONS = tuple(_FOUND), tuple(_FOUND.values())
"""The first makes version 1."""
WHOLE = (files("etlplus.store.sqlite") / "schema.sql").read_text("utf-8")
"""What all of them together make."""


def migrate(db: sqlite3.Connection, to: int | None = None) -> int:
    """Apply what the file lacks, all in one transaction, so that of several openers one does it; returns the version.

    Args:
        to: Go by the migrations and stop at this version; unless told, a new file gets the whole at once.

    Raises:
        Misconfigured: the file was written by a newer program.
    """
    if _version(db) == (to or len(MIGRATIONS)):
        return _version(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        present = _version(db)
        whole = present == 0 and to is None
        for script in [WHOLE] if whole else MIGRATIONS[present:to]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {to or len(MIGRATIONS)}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return to or len(MIGRATIONS)


def upgrade(db: sqlite3.Connection) -> Upgrade:
    """What ``migrate`` would do; nothing is changed.

    Raises:
        Misconfigured: the file was written by a newer program.
    """
    present = _version(db)
    return Upgrade(present, NAMES[present:])


def _version(db: sqlite3.Connection) -> int:
    (present,) = db.execute("PRAGMA user_version").fetchone()
    if present > len(MIGRATIONS):
        raise Misconfigured(
            f"the store is at schema version {present}, this program knows {len(MIGRATIONS)}: use the newer program",
            code="schema_newer",
        )
    return present


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: the driver's own way to run a script would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
