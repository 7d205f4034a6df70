"""From a plan's sink to the destination that writes it: the one place that knows all kinds. Called by the load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from etlplus.connectors.contract import Claim, Destination
from etlplus.connectors.parquet_file import ParquetDestination
from etlplus.connectors.sqlite_table import SqliteDestination
from etlplus.jobs.parameters import Value
from etlplus.pipeline.binding import text_of
from etlplus.pipeline.plan import ParquetFile, SqliteTable


def destination(
    sink: SqliteTable | ParquetFile, path: Path, values: Mapping[str, Value], claim: Claim, work_dir: Path
) -> Destination:
    """The destination of ``sink`` at ``path``, in the hands of ``claim``'s attempt, with the values of its run."""
    match sink:
        case SqliteTable():
            return SqliteDestination(path, text_of(sink.table, values), sink.mode, claim, work_dir)
        case ParquetFile():
            return ParquetDestination(path, claim)
