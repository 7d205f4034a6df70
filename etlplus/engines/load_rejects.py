"""
The refused rows of one attempt, each with its own bytes, place and reasons, in a file that a person can replay.

The rows are known by number; a second pass over the source finds their bytes. The file is on the disk before anything is
committed, so that no commit can outlive its rejects. Called by the load.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import duckdb
import msgspec

from etlplus.connectors.contract import BATCH_ROWS
from etlplus.engines import load_unread
from etlplus.engines.control import LoadFailed
from etlplus.engines.load_balance import path_to
from etlplus.engines.load_sources import Sources
from etlplus.engines.order import LoadOrder
from etlplus.jobs.outcome import RunError
from etlplus.pipeline.compile import ROW, quoted
from etlplus.pipeline.plan import Pipeline, Validate


class Reject(msgspec.Struct, frozen=True):
    """One line of the file. ``position`` counts the source's data rows from 1; ``reasons`` are ids of broken
    rules or, for a row that could not be read, what was wrong: ``cast:COLUMN``, ``columns:missing`` and the like."""

    source: str
    position: int
    reasons: tuple[str, ...]
    raw: str
    encoding: str


def write(con: duckdb.DuckDBPyConnection, plan: Pipeline, sources: Sources, order: LoadOrder) -> str:
    """Write the attempt's rejects and return the file's path, or "" when no row was refused."""
    target = Path(order.rejects_dir, f"{order.run_id}.{order.attempt}.ndjson")
    target.parent.mkdir(parents=True, exist_ok=True)
    temp = target.with_name(f".{target.name}.tmp")
    with temp.open("wb") as file:
        written = sum(_write_source(con, plan, sources, name, file) for name in plan.sources)
        file.flush()
        os.fsync(file.fileno())
    if not written:
        temp.unlink()
        return ""
    temp.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return str(target)


def _write_source(con: duckdb.DuckDBPyConnection, plan: Pipeline, sources: Sources, name: str, file: IO[bytes]) -> int:
    written = 0
    wanted = _refused(con, plan, name)
    position, reasons = next(wanted, (0, ()))
    if not position:
        return 0
    rows = 0
    for rows, raw in enumerate(sources.records(name), 1):
        if rows == position:
            file.write(msgspec.json.encode(_reject(name, position, reasons, raw)) + b"\n")
            written += 1
            position, reasons = next(wanted, (0, ()))
    if rows != (due := sources.counts[name].rows_in):
        said = f"source {name!r} has {due} rows, but {rows} records were found for its rejects"
        raise LoadFailed(RunError("ledger_mismatch", said))
    sources.still_frozen(name)
    return written


def _refused(con: duckdb.DuckDBPyConnection, plan: Pipeline, source: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Position and reasons of every refused row of the source, in the file's order, each row once."""
    parts = [f"select position, reason from {quoted(load_unread.table(source))}"]
    parts += [
        f'select "{ROW}" as position, {_text(rule.id)} as reason from {quoted("__judged_" + step.id)}'
        f" where {quoted('__broke_' + rule.id)}"
        for step in plan.steps
        if isinstance(step, Validate) and path_to(plan, step.id)[0] == source
        for rule in step.rules
        if rule.action == "quarantine"
    ]
    both = " union all ".join(parts)
    query = f"select position, list(distinct reason order by reason) from ({both}) group by position order by position"
    for batch in con.sql(query).to_arrow_reader(BATCH_ROWS):
        positions: list[int]
        reasons: list[list[str]]
        positions, reasons = (column.to_pylist() for column in batch.columns)
        yield from zip(positions, map(tuple, reasons), strict=True)


def _reject(source: str, position: int, reasons: tuple[str, ...], raw: bytes) -> Reject:
    try:
        return Reject(source, position, reasons, raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return Reject(source, position, reasons, base64.b64encode(raw).decode("ascii"), "base64")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
