"""A plan inside DuckDB gives the right rows, and a ledger that accounts for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import msgspec
import pytest

from etlplus.jobs.outcome import StepCount
from etlplus.pipeline.compile import Compiled
from etlplus.pipeline.document import convert
from etlplus.pipeline.ledger import broken_laws


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        made.execute(
            "create temp table orders as select * from (values (1, 10, 'a'), (2, null, 'b'), (3, 30, 'z'), (4, 5, null))"
            ' t("__row", price, code)'
        )
        made.execute("create temp table codes as select * from (values ('a', 'Anna'), ('b', 'Ben')) t(code, label)")
        yield made


def compiled(con: duckdb.DuckDBPyConnection, *steps: dict[str, Any]) -> Compiled:
    source = {"type": "csv", "path": "x"}
    sink = {"id": "out", "type": "sqlite", "input": "orders", "path": "x", "table": "t"}
    plan = convert({"name": "p", "sources": {"orders": source, "codes": source}, "steps": steps, "sinks": [sink]})
    made = Compiled(con, plan)
    made.build()
    return made


JOIN = {
    "id": "j",
    "type": "join",
    "input": "orders",
    "with": "codes",
    "on": {"code": "code"},
    "take": {"label": "label"},
}


def test_a_filter_counts_what_it_leaves_out_null_included(con: duckdb.DuckDBPyConnection) -> None:
    """Rows for which the condition is false or null are counted as filtered."""
    made = compiled(con, {"id": "f", "type": "filter", "input": "orders", "where": "price >= 10"})
    (count,) = made.counts
    assert (count.rows_in, count.rows_out, count.filtered) == (4, 2, 2)
    assert broken_laws(made.counts) == []


def test_a_left_join_keeps_every_row_and_counts_the_unmatched(con: duckdb.DuckDBPyConnection) -> None:
    """A row without a partner stays, with null in the taken column."""
    made = compiled(con, JOIN)
    (count,) = made.counts
    assert (count.rows_in, count.rows_out, count.matched, count.unmatched) == (4, 4, 2, 2)
    assert con.execute('select label from j order by "__row"').fetchall() == [("Anna",), ("Ben",), (None,), (None,)]


def test_a_lookup_with_doubled_keys_breaks_the_law(con: duckdb.DuckDBPyConnection) -> None:
    """A join that would double rows is caught by the ledger."""
    con.execute("insert into codes values ('a', 'Again')")
    (said,) = broken_laws(compiled(con, JOIN).counts)
    assert "'j'" in said


def test_validation_sets_broken_rows_aside_once_and_counts_every_rule(con: duckdb.DuckDBPyConnection) -> None:
    """A row that breaks two rules is one quarantined row and counts for both rules; null breaks a rule; warn keeps."""
    rules = [
        {"id": "priced", "check": "price > 5"},
        {"id": "coded", "check": "code is not null"},
        {"id": "cheap", "check": "price < 20", "action": "warn"},
    ]
    made = compiled(con, {"id": "v", "type": "validate", "input": "orders", "rules": rules})
    (count,) = made.counts
    assert (count.rows_in, count.rows_out, count.quarantined) == (4, 2, 2)
    assert made.broken == {"priced": 2, "coded": 1, "cheap": 2}
    assert broken_laws(made.counts) == []


def test_an_aggregate_accounts_for_every_row_in_its_groups(con: duckdb.DuckDBPyConnection) -> None:
    """Group sizes add up to the rows that came in."""
    step = {"id": "g", "type": "aggregate", "input": "orders", "by": ["code"], "columns": {"total": "sum(price)"}}
    made = compiled(con, step)
    assert made.counts[0].rows_out == 4
    assert broken_laws(made.counts) == []


@pytest.mark.parametrize(
    ("step", "pointer"),
    [
        ({"id": "d", "type": "derive", "input": "orders", "columns": {"x": "prize + 1"}}, "/steps/0/columns/x"),
        ({"id": "d", "type": "derive", "input": "orders", "columns": {"x": "upper(price) + 1"}}, "/steps/0/columns/x"),
        ({"id": "f", "type": "filter", "input": "orders", "where": "(select true)"}, "/steps/0/where"),
        ({**JOIN, "on": {"cod": "code"}}, "/steps/0/on"),
        ({"id": "g", "type": "aggregate", "input": "orders", "by": ["cod"], "columns": {}}, "/steps/0/by"),
    ],
)
def test_what_cannot_be_bound_is_a_problem_with_its_place(
    con: duckdb.DuckDBPyConnection, step: dict[str, Any], pointer: str
) -> None:
    """Unknown columns, wrong types and forbidden expressions are named by pointer, and nothing is built."""
    made = compiled(con, step)
    assert [problem.pointer for problem in made.problems] == [pointer]
    assert made.counts == []


@pytest.mark.parametrize(
    "count",
    [
        StepCount("s", "read", 10, 8, quarantined=2),
        StepCount("s", "validate", 10, 8, quarantined=2),
        StepCount("s", "filter", 10, 8, filtered=2),
        StepCount("s", "join", 10, 10, matched=7, unmatched=3),
        StepCount("s", "aggregate", 10, 3, matched=10),
        StepCount("s", "derive", 10, 10),
    ],
    ids=lambda count: count.kind,
)
def test_each_kind_of_step_has_its_law(count: StepCount) -> None:
    """One row more that came in, and it is broken."""
    assert broken_laws([count]) == []
    (said,) = broken_laws([msgspec.structs.replace(count, rows_in=11)])
    assert said.startswith(f"step 's' ({count.kind}): in is 11")


def test_a_lost_row_is_noticed(con: duckdb.DuckDBPyConnection) -> None:
    """Any count that is off by one breaks its step's law."""
    made = compiled(con, {"id": "f", "type": "filter", "input": "orders", "where": "price >= 10"}, JOIN)
    for at, count in enumerate(made.counts):
        counts = [*made.counts]
        counts[at] = msgspec.structs.replace(count, rows_in=count.rows_in + 1)
        assert len(broken_laws(counts)) == 1
