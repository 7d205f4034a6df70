"""A SQLite table takes DuckDB's types without losing a digit, and keeps what is built upon it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from etlplus.connectors.contract import Claim, ConnectorFailed
from etlplus.connectors.sqlite_table import SqliteDestination
from etlplus.jobs.outcome import Figures


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        yield made


def written(path: Path, con: duckdb.DuckDBPyConnection, run: str, query: str, mode: str = "replace") -> list[Any]:
    con.execute(f"create or replace temp table t as {query}")
    made = SqliteDestination(path, "t", mode, Claim("job", "sink", run, 1, "plan"), path.parent)
    assert made.begin() is None
    made.stage(con, "t", lambda rows: None)
    made.commit(Figures())
    with closing(sqlite3.connect(path)) as db:
        return db.execute("select * from t").fetchall()


def test_values_keep_their_meaning(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Whole numbers, reals, texts and bytes are themselves; decimals and times are exact texts."""
    query = (
        "select 9007199254740993 as a, 1.5::double as b, 'x' as c, true as d, 0.10::decimal(9, 2) as e,"
        " timestamp '2013-01-01 05:00:00' as f, '\\x00'::blob as g, null::integer as h, 7::hugeint as i, 1 as __hidden"
    )
    (row,) = written(tmp_path / "x.db", con, "run1", query)
    assert row == (9007199254740993, 1.5, "x", 1, "0.10", "2013-01-01 05:00:00", b"\x00", None, 7)


def test_replace_keeps_indexes_and_views_while_the_columns_stay(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """The same columns: rows are exchanged in the same table. Other columns: the table is made anew."""
    path = tmp_path / "x.db"
    written(path, con, "run1", "select 1 as a")
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("create index by_a on t (a)")
    assert written(path, con, "run2", "select 2 as a") == [(2,)]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select name from sqlite_master where type = 'index'").fetchall() == [("by_a",)]
    assert written(path, con, "run3", "select 3 as a, 4 as b") == [(3, 4)]


def test_append_refuses_columns_that_the_table_lacks(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Nothing is appended, and the failure is the data's."""
    path = tmp_path / "x.db"
    assert written(path, con, "run1", "select 1 as a", "append") == [(1,)]
    with pytest.raises(ConnectorFailed) as failed:
        written(path, con, "run2", "select 1 as a, 2 as b", "append")
    assert (failed.value.error.code, failed.value.error.retryable) == ("data_error", False)
    assert written(path, con, "run3", "select 5 as a", "append") == [(1,), (5,)]
