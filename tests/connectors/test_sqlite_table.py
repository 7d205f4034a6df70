"""A SQLite table takes DuckDB's types without losing a digit, and keeps what is built upon it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pytest

from etlplus.connectors import sqlite_table
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


def test_whatever_moment_a_commit_dies_at_rows_and_token_are_of_one_run(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each of its statements, what lies on the disk is either all of the run before or all of this one."""
    path, opened, moments = tmp_path / "x.db", sqlite_table.connect, 0
    assert len(written(path, con, "run1", "select 1 as a from range(3000)")) == 3000

    def looked_at(file: Path) -> sqlite3.Connection:
        db = opened(file)
        if file == path:
            db.execute(
                "pragma cache_size = 1"
            )  # rows are on the disk long before the commit, and beside them how to undo them
            db.set_trace_callback(keep)
        return db

    def keep(statement: str) -> None:
        nonlocal moments
        moments += 1
        for file in tmp_path.glob("x.db*"):
            shutil.copyfile(file, tmp_path / file.name.replace("x.db", f"moment{moments}.db"))

    con.execute("create or replace temp table t as select 2 as a from range(5000)")
    second = SqliteDestination(path, "t", "replace", Claim("job", "sink", "run2", 1, "plan"), tmp_path)
    assert second.begin() is None
    second.stage(con, "t", lambda rows: None)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_table, "connect", looked_at)
        second.commit(Figures())
    found: list[tuple[int, int, str]] = []
    for moment in range(1, moments + 1):
        with closing(sqlite3.connect(tmp_path / f"moment{moment}.db")) as db:
            ((last,),) = db.execute("select run_id from _etlplus_token order by serial desc limit 1").fetchall()
            found += [(*row, last) for row in db.execute("select a, count(*) from t group by a").fetchall()]
    assert set(found) == {(1, 3000, "run1")}
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select a, count(*) from t group by a").fetchall() == [(2, 5000)]


def test_tokens_are_of_one_job_and_one_sink(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """What another job, or another sink of the same run, has committed into the file is no proof, and makes nobody stale."""
    con.execute("create temp table t as select 1 as a")
    places = [("job", "first", "run1"), ("job", "second", "run1"), ("other", "first", "run2")]
    made = [
        SqliteDestination(tmp_path / "x.db", f"t{at}", "append", Claim(job, sink, run, 1, "plan"), tmp_path / str(at))
        for at, (job, sink, run) in enumerate(places)
    ]
    for at, each in enumerate(made):
        (tmp_path / str(at)).mkdir()
        assert each.begin() is None
        each.stage(con, "t", lambda rows: None)
    assert [each.commit(Figures()).serial for each in made] == [1, 1, 1]
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert [db.execute(f"select a from t{at}").fetchall() for at in range(3)] == [[(1,)]] * 3
