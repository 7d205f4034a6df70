"""
The plan as data: what a pipeline reads, which steps its rows take, and where they end.

Nothing here runs. The structs are closed (unknown keys are refused), so that a plan can be checked, hashed and stored as it
is. Steps name their inputs by id; a step may only name a source or a step that stands before it.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec

from etlplus.jobs.parameters import Declared

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$(?!\n)", description="letters, digits and _")]
Place = Annotated[
    str,
    msgspec.Meta(pattern=r"^[^\x00]+$(?!\n)", max_length=4096, description="a path, absolute or from the job's folder"),
]
Expression = Annotated[str, msgspec.Meta(min_length=1, max_length=4096, description="a SQL scalar expression")]

PARTS_MAX = 100
"""Of sources, of steps, of sinks and of parameters. Each step is counted, and a step may stand on all before it: the work grows
faster.
"""


class Param(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value that the run gives, by the name of its parameter."""

    param: Name


class Csv(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="csv"):
    """A CSV file with a header, plain, gzipped, or alone in a zip. ``nulls`` are the texts that mean null; ``columns`` gives
    DuckDB types to columns that shall not be guessed. A row that cannot be read is quarantined, or with ``unparsable: fail``
    fails the load.
    """

    path: Place | Param
    nulls: tuple[str, ...] = ("",)
    columns: dict[str, str] = {}
    unparsable: Literal["quarantine", "fail"] = "quarantine"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """What every step has: its id, and the source or step it takes rows from."""

    id: Name
    input: Name


class Derive(Step, frozen=True, tag="derive"):
    """Add columns, or replace some, each by an expression over the input's columns."""

    columns: dict[Name, Expression]


class Filter(Step, frozen=True, tag="filter"):
    """Keep the rows for which ``where`` is true; the others, null included, are counted as filtered."""

    where: Expression


class Join(Step, frozen=True, tag="join"):
    """Look rows up by equal keys (``on``: own column to the other's) in ``with``; rows without a partner stay, with
    nulls. The other's keys must be unique: a join that doubles rows breaks the ledger.
    ``take`` maps new column names to the other's columns.
    """

    lookup: Name = msgspec.field(name="with")
    on: Annotated[dict[str, str], msgspec.Meta(min_length=1)]
    take: dict[Name, str]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be true of a row, and what happens to a row for which it is not."""

    id: Name
    check: Expression
    action: Literal["quarantine", "fail", "warn"] = "quarantine"


class Validate(Step, frozen=True, tag="validate"):
    """Hold every row against all rules; null counts as broken."""

    rules: Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1)]


class Aggregate(Step, frozen=True, tag="aggregate"):
    """One row for each group of ``by``, with aggregate expressions as columns."""

    by: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    columns: dict[Name, Expression]


AnyStep = Derive | Filter | Join | Validate | Aggregate


class SqliteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="sqlite"):
    """A table in a SQLite file; data and token are committed in one transaction."""

    id: Name
    input: Name
    path: Place | Param
    table: Name | Param
    mode: Literal["replace", "append"] = "replace"


class ParquetFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="parquet"):
    """A Parquet file, staged beside its place and published by one rename."""

    id: Name
    input: Name
    path: Place | Param


class Pipeline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole plan. The first sink is the main one: the run's figures are the balance along its path.

    ``params`` are what a run may be given. With ``interval: required`` each run is for an interval, whose ends are values like
    others. ``zone`` is whose clocks paths are written by, and whose days and times without an offset the rows have.
    """

    name: Name
    sources: Annotated[dict[Name, Csv], msgspec.Meta(min_length=1, max_length=PARTS_MAX)]
    sinks: Annotated[tuple[SqliteTable | ParquetFile, ...], msgspec.Meta(min_length=1, max_length=PARTS_MAX)]
    steps: Annotated[tuple[AnyStep, ...], msgspec.Meta(max_length=PARTS_MAX)] = ()
    params: Annotated[dict[Name, Declared], msgspec.Meta(max_length=PARTS_MAX)] = {}
    interval: Literal["required", "unused"] = "unused"
    zone: str = "UTC"


def plan_id(plan: Pipeline) -> str:
    """The plan's own name: equal plans have equal ids, whatever their text looked like."""
    return hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()[:32]


def schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline document."""
    return msgspec.json.schema(Pipeline)
