"""
A table in a SQLite file: rows and token change in one transaction.

The rows are staged in a database of the attempt's own (in its work folder), so that the destination is neither locked nor
littered while the load runs. The commit attaches it and is one short ``BEGIN IMMEDIATE``. Called by the load.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from etlplus.connectors.contract import BATCH_ROWS, REMEMBERED, Claim, ConnectorFailed, Token, next_token, stale
from etlplus.jobs.outcome import Figures

if TYPE_CHECKING:
    import duckdb

LOCKED_S = 10.0  # how long a commit waits for other writers

_TOKENS = """
create table if not exists _etlplus_token (
    job_id text not null, sink text not null, run_id text not null, serial integer not null, token text not null,
    primary key (job_id, sink, run_id)
) without rowid
"""
_FULL = {sqlite3.SQLITE_FULL}
_AWAY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR}
_UNUSABLE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


class SqliteDestination:
    """See ``contract.Destination``. ``mode`` is replace or append."""

    kind = "sqlite"
    guarantee = "transactional"

    def __init__(self, path: Path, table: str, mode: str, claim: Claim, work_dir: Path) -> None:
        self.mode = mode
        self.target = f"{path}:{table}"
        self._path = path
        self._table = table
        self._claim = claim
        self._stage_path = work_dir / f"stage.{claim.sink}.sqlite"
        self._base: Token | None = None
        self._columns: dict[str, str] = {}
        self._rows = 0

    def begin(self) -> Token | None:
        if not self._path.parent.is_dir():
            raise ConnectorFailed("destination_unavailable", f"there is no folder {self._path.parent}", retryable=True)
        if not self._path.exists():
            return None
        with self._failing(), closing(connect(self._path)) as db:
            self._base = self._last(db)
            return self._own(db)

    def stage(self, con: duckdb.DuckDBPyConnection, relation: str, tick: Callable[[int], None]) -> int:
        described = con.execute(f"describe {_quoted(relation)}").fetchall()
        offered = {str(name): str(kind) for name, kind, *_ in described if not str(name).startswith("__")}
        self._columns = {name: _sqlite_type(kind) for name, kind in offered.items()}
        query = f"select {', '.join(_plain(n, k) for n, k in offered.items())} from {_quoted(relation)}"
        self._stage_path.unlink(missing_ok=True)
        with self._failing(), closing(connect(self._stage_path)) as db:
            db.execute("pragma journal_mode = off")  # a crashed stage is thrown away, never read
            db.execute("pragma synchronous = off")
            db.execute(f"create table stage ({self._definition()})")
            insert = f"insert into stage values ({', '.join('?' * len(offered))})"
            for batch in con.sql(query).to_arrow_reader(BATCH_ROWS):
                db.execute("begin")
                db.executemany(insert, zip(*(column.to_pylist() for column in batch.columns), strict=True))
                db.execute("commit")
                self._rows += batch.num_rows
                tick(batch.num_rows)
        return self._rows

    def commit(self, figures: Figures) -> Token:
        with self._failing(), closing(connect(self._path)) as db:
            db.execute("attach ? as staged", [f"{self._stage_path.absolute().as_uri()}?mode=ro"])
            db.execute("begin immediate")
            try:
                token = self._swap(db, figures)
                db.execute("commit")
            except sqlite3.OperationalError:
                # After a full disk the file stays grown until somebody reads, and nobody may come: so we do.
                db.execute("select 1 from main.sqlite_master")
                raise
            finally:
                if db.in_transaction:
                    db.execute("rollback")
        self.abandon()
        return token

    def abandon(self) -> None:
        self._stage_path.unlink(missing_ok=True)

    def _swap(self, db: sqlite3.Connection, figures: Figures) -> Token:
        """Inside the transaction: the token must still be the one this attempt began with; then rows and token change."""
        if (own := self._own(db)) is not None:
            return own
        if (found := self._last(db)) != self._base:
            raise stale(self.target, self._base, found)
        self._write_rows(db)
        token = next_token(self._base, self._claim, self._rows, figures)
        db.execute(_TOKENS)
        row = (token.job_id, token.sink, token.run_id, token.serial, msgspec.json.encode(token).decode())
        db.execute("insert into _etlplus_token values (?, ?, ?, ?, ?)", row)
        db.execute(
            "delete from _etlplus_token where job_id = ? and sink = ? and serial <= ?",
            (token.job_id, token.sink, token.serial - REMEMBERED),
        )
        return token

    def _write_rows(self, db: sqlite3.Connection) -> None:
        table = f"main.{_quoted(self._table)}"
        if self.mode == "replace":
            present = {
                str(row[1]): str(row[2]) for row in db.execute(f"pragma main.table_info({_quoted(self._table)})")
            }
            if present == self._columns:
                db.execute(f"delete from {table}")
            elif present:
                db.execute(f"drop table {table}")
        db.execute(f"create table if not exists {table} ({self._definition()})")
        names = ", ".join(map(_quoted, self._columns))
        db.execute(f"insert into {table} ({names}) select {names} from staged.stage order by rowid")

    def _definition(self) -> str:
        return ", ".join(f"{_quoted(name)} {kind}" for name, kind in self._columns.items())

    def _own(self, db: sqlite3.Connection) -> Token | None:
        return self._token(db, "run_id = ?", self._claim.run_id)

    def _last(self, db: sqlite3.Connection) -> Token | None:
        return self._token(db, "serial >= ? order by serial desc limit 1", 0)

    def _token(self, db: sqlite3.Connection, which: str, value: str | int) -> Token | None:
        if not db.execute("select 1 from main.sqlite_master where name = '_etlplus_token'").fetchone():
            return None
        query = f"select token from main._etlplus_token where job_id = ? and sink = ? and {which}"
        found = db.execute(query, (self._claim.job_id, self._claim.sink, value)).fetchone()
        return msgspec.json.decode(found[0], type=Token) if found else None

    @contextmanager
    def _failing(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failure(error) from error
        except (OverflowError, UnicodeError) as error:
            raise ConnectorFailed("data_error", f"{self.target}: a value does not fit: {error}") from error

    def _failure(self, error: sqlite3.Error) -> ConnectorFailed:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of it is detail
        said = f"{self.target}: {error}"
        if code in _FULL:
            return ConnectorFailed("destination_full", said, retryable=True)
        if code in _AWAY | _UNUSABLE:
            return ConnectorFailed("destination_unavailable", said, retryable=code in _AWAY)
        return ConnectorFailed("data_error", said)


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that waits ``LOCKED_S`` for locks and understands file URIs."""
    return sqlite3.connect(path.absolute().as_uri(), timeout=LOCKED_S, isolation_level=None, uri=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sqlite_type(kind: str) -> str:
    if kind in _WHOLE:
        return "INTEGER"
    return {"FLOAT": "REAL", "DOUBLE": "REAL", "BLOB": "BLOB"}.get(kind, "TEXT")


def _plain(name: str, kind: str) -> str:
    """The column as one of SQLite's own types. Decimals and times stay exact as text; a whole number beyond 64 bits fails."""
    if kind in _WHOLE:
        return f"cast({_quoted(name)} as bigint)"
    return _quoted(name) if kind in {"FLOAT", "DOUBLE", "BLOB", "VARCHAR"} else f"cast({_quoted(name)} as varchar)"


_WHOLE = {
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
}
