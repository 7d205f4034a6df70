"""
The sources of one load: resolved, frozen, unpacked, and read into tables of the load's own DuckDB.

Every source table has the row's position in ``__row``, counted from 1, and no other column that starts with ``__``.
After the last source is read, the connection loses its way to files for good. Called by the load.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from etlplus.connectors import csv_file
from etlplus.connectors.contract import ConnectorFailed
from etlplus.engines import load_unread
from etlplus.engines.control import Control, LoadFailed
from etlplus.engines.order import LoadOrder
from etlplus.errors import Invalid, Problem
from etlplus.jobs.outcome import RunError, StepCount
from etlplus.jobs.parameters import Value
from etlplus.pipeline.binding import path_of
from etlplus.pipeline.compile import ROW, quoted
from etlplus.pipeline.complaints import offer
from etlplus.pipeline.plan import Csv, Param, Pipeline

MEMORY_SHARE = 0.6  # of the attempt's memory; the rest is for Python, Arrow batches and the destinations


def resolve(path: str | Param, order: LoadOrder, plan: Pipeline, values: Mapping[str, Value]) -> Path:
    """Where a path of the plan leads in this run. Raises KeyError if a value in it is missing."""
    return Path(order.base_dir, path_of(path, plan, values)).absolute()


def connect(order: LoadOrder, zone: str) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB within the attempt's limits. One thread: order and positions of rows are the files' own. Times without
    an offset are taken to be those of ``zone`` when they meet times with one.
    """
    con = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "memory_limit": f"{int(order.memory_limit_bytes * MEMORY_SHARE) // 1024}KiB",
            "temp_directory": order.work_dir,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    con.execute(f"set TimeZone = {_literal(zone)}")
    con.execute("set enable_progress_bar = false")  # else a slow query draws on standard output
    return con


def lock(con: duckdb.DuckDBPyConnection) -> None:
    """From here on SQL can neither touch a file nor change a setting."""
    con.execute("set enable_external_access = false")
    con.execute("set lock_configuration = true")


class Sources:
    """The plan's source files, all bound to the bytes that this run reads."""

    def __init__(self, order: LoadOrder, plan: Pipeline, values: Mapping[str, Value]) -> None:
        self._order = order
        self._plan = plan
        self._paths = {name: resolve(source.path, order, plan, values) for name, source in plan.sources.items()}
        self._bounds: dict[str, csv_file.Bounds] = {}
        self._plain: dict[str, Path] = {}
        self.counts: dict[str, StepCount] = {}
        self.unread: dict[str, int] = {}

    @property
    def bytes_total(self) -> int:
        """The size of all files as they lie there, packed ones packed."""
        return sum(found.size for found in self._bounds.values())

    def freeze(self, control: Control) -> None:
        """Bind the run to the files' present bytes, or find that they still are what an earlier attempt has bound."""
        self._bounds = {name: csv_file.bounds(path) for name, path in self._paths.items()}
        if self._order.bounds is None:
            control.freeze(msgspec.to_builtins(self._bounds))
            return
        for name, found in self._bounds.items():
            frozen: dict[str, Any] = self._order.bounds.get(name) or {}
            if (found.size, found.sha256) != (frozen.get("size"), frozen.get("sha256")):
                raise _changed(name, self._paths[name])

    def read(self, name: str, con: duckdb.DuckDBPyConnection) -> None:
        """The source as a table; rows that cannot be read are set aside and counted, in ``unread`` by reason."""
        into = Path(self._order.work_dir, f"source.{name}.csv")
        self._plain[name] = csv_file.unpack(self._paths[name], into)
        try:
            scan(con, name, self._plan.sources[name], self._plain[name])
        except duckdb.IOException as error:
            raise ConnectorFailed("source_unreadable", f"{self._paths[name]}: {error}", retryable=True) from error
        self.counts[name], reasons = load_unread.settle(con, name, self._plan.sources[name], self._plain[name])
        for reason, rows in reasons.items():
            self.unread[reason] = self.unread.get(reason, 0) + rows
        self.still_frozen(name)

    def records(self, name: str) -> Iterator[bytes]:
        """The source's data records as bytes, in order."""
        return csv_file.records(self._plain[name])

    def still_frozen(self, name: str) -> None:
        """Raises LoadFailed (source_changed) when the file was written to since it was frozen."""
        frozen = self._bounds[name]
        try:
            if csv_file.stamp(self._paths[name]) == (frozen.size, frozen.mtime_ns):
                return
        except OSError as error:
            raise ConnectorFailed("source_unreadable", str(error), retryable=True) from error
        raise _changed(name, self._paths[name])


def scan(con: duckdb.DuckDBPyConnection, name: str, source: Csv, file: Path) -> None:
    """Read one CSV file into a table; types come from all of its rows, or from the plan.

    The types are guessed leniently and the rows read strictly, so that a row that is no CSV spoils only itself.

    Raises:
        LoadFailed: the file as a whole is no CSV that can be read (data_error).
        Invalid: the plan gives a type to a column that the file does not have.
    """
    if not file.stat().st_size:
        raise LoadFailed(RunError("data_error", f"source {name!r} is an empty file; at least a header is expected"))
    options = f"{csv_file.DIALECT}, nullstr = [{', '.join(map(_literal, source.nulls))}]"
    types = _struct(source.columns)
    guess = f"sniff_csv({_literal(str(file))}, {options}, sample_size = -1, ignore_errors = true, strict_mode = false"
    try:
        ((found,),) = con.execute(f"select columns from {guess}{f', types = {types}' if types else ''})").fetchall()
    except duckdb.InvalidInputException as error:
        said = (
            f"source {name!r} is no CSV: a quote is never closed, line ends are of two kinds, or it is no text at all"
        )
        raise LoadFailed(RunError("data_error", said)) from error
    _hold_columns(name, source, [column["name"] for column in found])
    columns = _struct({column["name"]: column["type"] for column in found})
    errors = f"store_rejects = true, rejects_table = '{load_unread.ERRORS}', rejects_scan = '{load_unread.SCANS}'"
    rows = f"read_csv({_literal(str(file))}, {options}, auto_detect = false, columns = {columns}, {errors})"
    con.execute(f'create temp table {quoted(name)} as select row_number() over () as "{ROW}", * from {rows}')
    reserved = [column for column in con.table(quoted(name)).columns if column.startswith("__") and column != ROW]
    if reserved:
        said = f"source {name!r}: column names that start with __ are reserved: {', '.join(reserved)}"
        raise LoadFailed(RunError("data_error", said))


def _hold_columns(name: str, source: Csv, columns: list[str]) -> None:
    known = {column.lower() for column in columns}
    problems = [
        Problem(f"source {name!r} has no column {typed!r}", f"/sources/{name}/columns/{typed}", "unknown_column",
                suggestion=offer("columns are", typed, columns))
        for typed in source.columns
        if typed.lower() not in known
    ]  # fmt: skip
    if problems:
        raise Invalid("the pipeline does not fit its data", problems)


def _changed(name: str, path: Path) -> LoadFailed:
    said = f"source {name!r} ({path}) is no longer the file that this run began with; start a new run to read it"
    return LoadFailed(RunError("source_changed", said))


def _struct(fields: dict[str, str]) -> str:
    return f"{{{', '.join(f'{_literal(name)}: {_literal(kind)}' for name, kind in fields.items())}}}" if fields else ""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
