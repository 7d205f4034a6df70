"""
A copy of a SQLite store that is consistent though the store is in use, and the proof that a copy is whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

from etlplus.errors import Invalid, Misconfigured, StoreUnavailable
from etlplus.store.sqlite.schema import MIGRATIONS


def take(source: Path, target: Path) -> int:
    """Copy a store to a file that must not exist, as it was at one moment; whoever writes goes on. Returns its schema version.

    Raises:
        StoreUnavailable: there is no store at ``source``, or the disk refused.
        Invalid: what is there is damaged.
    """
    try:
        with closing(_connect(source)) as store, closing(sqlite3.connect(target)) as copy:
            store.backup(copy)  # in one step: the copy is of one moment, and no writer makes it begin anew
            copy.execute("PRAGMA journal_mode = DELETE")  # all of it is in the one file
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the store {source} cannot be copied: {error}") from error
    return verify(target)


def verify(file: Path) -> int:
    """See that a file is a whole store that this program understands. Returns its schema version.

    Raises:
        Invalid: it is no store, or damaged.
        Misconfigured: a newer program made it (code ``schema_newer``).
    """
    with _refused(file), closing(_connect(file)) as db:
        damage = db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        version: int = db.execute("PRAGMA user_version").fetchone()[0]
        ours = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'run_live'").fetchone()[0]
    if damage != "ok":
        raise Invalid(f"{file} is damaged: {damage}")
    if not ours or not version:
        raise Invalid(f"{file} is no store of etlplus")
    if version > len(MIGRATIONS):
        said = f"{file} is at schema version {version}, this program knows {len(MIGRATIONS)}: use the newer program"
        raise Misconfigured(said, code="schema_newer")
    return version


def gather(file: Path) -> None:
    """Bring what lies in the log beside a store into its file, and remove the log; nobody else may have it open.

    Raises:
        Invalid: the store is damaged.
    """
    with _refused(file), closing(_connect(file)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


@contextmanager
def _refused(file: Path) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Invalid(f"{file} is no store that can be read: {error}") from error


def _connect(file: Path) -> sqlite3.Connection:
    """An existing file; none is made."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
