"""
How an older file becomes a newer one: the numbered files in ``migrations``, in order.

Records are kept whole, as JSON, beside the few columns that statements look at. ``run_live`` holds the unfinished runs
only: it is what claims, ticks and rescues scan, and it stays small however long the history grows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from etlplus.errors import Misconfigured


def scripts() -> list[str]:
    """The migrations; the first makes version 1."""
    folder = files("etlplus.store.sqlite") / "migrations"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [file.read_text("utf-8") for file in found]


MIGRATIONS = tuple(scripts())


def migrate(db: sqlite3.Connection, to: int = len(MIGRATIONS)) -> int:
    """Apply what the file lacks, all in one transaction, so that of several openers one does it; returns the version.

    Raises:
        Misconfigured: the file was written by a newer program.
    """
    if _version(db) >= to:
        return _version(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        for version, script in enumerate(MIGRATIONS[_version(db) : to], start=_version(db) + 1):
            for statement in _statements(script):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
    return to


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
