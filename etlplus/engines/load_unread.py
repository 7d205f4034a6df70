"""
The rows of a source that cannot be read: too many or too few columns, a value that does not fit its column's type, broken
quotes, bytes that are no UTF-8.

DuckDB leaves such rows out, tells at which byte it gave up, and numbers the rest as if they had never been there. Here each
one is found again in the file, so that it has a position and the rows after it have theirs. Called while a source is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow

from etlplus.connectors import csv_file
from etlplus.engines.control import LoadFailed
from etlplus.jobs.outcome import RunError, StepCount
from etlplus.pipeline.compile import ROW, quoted
from etlplus.pipeline.plan import Csv

_arrow: Any = pyarrow  # it ships no types

ERRORS, SCANS = "__errors", "__scans"  # DuckDB's own tables, filled by the scan
TOLD_MAX = 10  # rows that are described one by one when the load fails for them


class Unread(msgspec.Struct, frozen=True):
    """One thing wrong with one row. ``position`` counts the source's data rows from 1."""

    position: int
    reason: str
    sentence: str


def table(source: str) -> str:
    """Where the unread rows of a source stand: columns ``position`` and ``reason``."""
    return f"__unread_{source}"


def settle(con: duckdb.DuckDBPyConnection, name: str, source: Csv, file: Path) -> tuple[StepCount, dict[str, int]]:
    """
    Number the rows of a source that was just scanned, set the unread ones aside, and count both, the unread by reason.

    Raises LoadFailed (data_error) when the source shall not have unread rows, or when nothing at all could be read.
    """
    ((kept,),) = con.execute(f"select count(*) from {quoted(name)}").fetchall()
    con.execute(f"create temp table {quoted(table(name))} (position bigint, reason varchar)")
    if not (bytes_of_errors := _errors(con)):
        return StepCount(name, "read", kept, kept), {}
    errors, records = _located(bytes_of_errors, file)
    positions = sorted({error.position for error in errors})
    if source.unparsable == "fail" or not kept:
        raise _refused(name, errors, len(positions), kept)
    _set_aside(con, name, errors)
    _renumber(con, name)
    reasons = dict(con.execute(f"select reason, count(*) from {quoted(table(name))} group by 1 order by 1").fetchall())
    return StepCount(name, "read", records, kept, quarantined=len(positions)), reasons


def _errors(con: duckdb.DuckDBPyConnection) -> list[tuple[int, str, str]]:
    """Byte, reason and sentence of everything that the scan could not read, in the file's order; forgotten afterwards."""
    found = con.execute(f"select byte_position - 1, error_type, column_name, error_message from {ERRORS} order by 1")
    errors = [(byte, _reason(kind, column), said) for byte, kind, column, said in found.fetchall()]
    for name in (ERRORS, SCANS):
        con.execute(f"drop table {name}")
    return errors


def _reason(kind: str, column: str | None) -> str:
    """What was wrong, and where: ``cast:price``. The colon tells it from the id of any rule."""
    match kind:
        case "TOO MANY COLUMNS":
            return "columns:too_many"
        case "MISSING COLUMNS":
            return "columns:missing"
        case "INVALID ENCODING":
            return f"encoding:{column}"
        case "UNQUOTED VALUE":
            return f"quotes:{column}"
        case _:
            return f"{kind.lower().replace(' ', '_')}:{column or 'row'}"


def _located(errors: list[tuple[int, str, str]], file: Path) -> tuple[list[Unread], int]:
    """Each error with the position of its row, the last record that begins at or before the error's byte; and how many
    records there are.
    """
    found: list[Unread] = []
    position = 0
    for position, (begin, _) in enumerate(csv_file.placed_records(file), 1):
        while len(found) < len(errors) and errors[len(found)][0] < begin:
            found.append(Unread(position - 1, *errors[len(found)][1:]))
    found += [Unread(position, reason, sentence) for _, reason, sentence in errors[len(found) :]]
    return found, position


def _set_aside(con: duckdb.DuckDBPyConnection, name: str, errors: list[Unread]) -> None:
    told = [error.position for error in errors], [error.reason for error in errors]
    con.register("__told", _arrow.table(told, names=["position", "reason"]))  # as rows one by one this takes minutes
    con.execute(f"insert into {quoted(table(name))} select distinct position, reason from __told")
    con.unregister("__told")


def _renumber(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Give each row its position in the file. ``before`` many rows were read before the ``unread``-th one that was not."""
    told = quoted(table(name))
    gaps = (
        "select position - unread as before, max(unread) as unread from ("
        f"select position, row_number() over (order by position) as unread from (select distinct position from {told})"
        ") group by before"
    )
    source = quoted(name)
    con.execute(
        f'create temp table "__numbered" as select r."{ROW}" + coalesce(g.unread, 0) as "{ROW}", r.* exclude ("{ROW}")'
        f' from {source} r asof left join ({gaps}) g on r."{ROW}" > g.before order by 1'
    )
    con.execute(f"drop table {source}")
    con.execute(f'alter table "__numbered" rename to {source}')


def _refused(name: str, errors: list[Unread], rows: int, kept: int) -> LoadFailed:
    said = tuple(f"source {name!r}, row {error.position}: {error.sentence}" for error in errors[:TOLD_MAX])
    how_many = f"{rows} of {rows + kept} rows" if kept else f"none of {rows} rows"
    verb = "cannot" if kept else "can"
    return LoadFailed(
        RunError("data_error", f"{how_many} of source {name!r} {verb} be read; first: {said[0]}", problems=said)
    )
