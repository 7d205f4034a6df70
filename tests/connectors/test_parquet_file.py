"""A Parquet file is published once, whatever moment a publisher dies at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from etlplus.connectors.contract import Claim, ConnectorFailed, Token
from etlplus.connectors.parquet_file import ParquetDestination
from etlplus.jobs.outcome import Figures


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        made.execute("create temp table t as select 1 as a")
        yield made


def staged(path: Path, run: str, con: duckdb.DuckDBPyConnection, attempt: int = 1) -> ParquetDestination:
    made = ParquetDestination(path, Claim("job", "sink", run, attempt, "plan"))
    assert made.begin() is None
    assert made.stage(con, "t", lambda rows: None) == 1
    return made


class Died(BaseException):
    pass


@pytest.mark.parametrize("renamed", [False, True])
def test_a_commit_that_was_cut_short_is_judged_by_the_file(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """A death after the rename counts as committed, a death before it does not, and the old file is whole."""
    path = tmp_path / "x.parquet"
    staged(path, "run1", con).commit(Figures())
    con.execute("update t set a = 2")
    dying = staged(path, "run2", con)
    rename = Path.replace

    def die(self: Path, target: Path) -> Path:
        if target != path:
            return rename(self, target)
        if renamed:
            rename(self, target)
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(Died):
            dying.commit(Figures())
    found = ParquetDestination(path, Claim("job", "sink", "run2", 2, "plan")).begin()
    assert parquet.read_table(path)["a"].to_pylist() == [2 if renamed else 1]
    if renamed:
        assert found == Token(2, "job", "sink", "run2", 1, "plan", 1, Figures())
    else:
        assert found is None
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".tmp")]


def test_a_later_attempts_staged_file_is_spared(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """An early attempt that wakes up late does not clear away what its successor has staged."""
    later = staged(tmp_path / "x.parquet", "run1", con, attempt=2)
    ParquetDestination(tmp_path / "x.parquet", Claim("job", "sink", "run1", 1, "plan")).begin()
    assert later.commit(Figures()).attempt == 2


def test_a_run_that_another_run_overtook_is_stale(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    """Both began with the same file; the later commit would undo what the earlier one has published."""
    path = tmp_path / "x.parquet"
    overtaken, faster = staged(path, "run1", con), staged(path, "run2", con)
    faster.commit(Figures())
    published = path.read_bytes()
    with pytest.raises(ConnectorFailed) as failed:
        overtaken.commit(Figures())
    assert failed.value.error.code == "stale"
    assert path.read_bytes() == published


def test_each_step_of_a_commit_is_on_the_disk_before_the_next(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, disk: Any
) -> None:
    """What is about to be published, the file itself, and that it was published: a crash of the machine finds them in order."""
    staged(tmp_path / "x.parquet", "run1", con).commit(Figures())
    assert disk.lasting() == ["x.parquet.manifest.json", "x.parquet", "x.parquet.manifest.json"]
