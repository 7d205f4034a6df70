"""Rows that are lost or doubled on their way are told, whoever lost them, and told rows are not committed."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from etlplus.connectors.sqlite_table import SqliteDestination
from etlplus.engines.control import LoadFailed
from etlplus.engines.load import load
from etlplus.engines.load_balance import figures, imbalances
from etlplus.jobs.outcome import StepCount
from etlplus.pipeline.document import convert

PLAN = convert({
    "name": "p",
    "sources": {"orders": {"type": "csv", "path": "orders.csv"}},
    "steps": [
        {"id": "big", "type": "filter", "input": "orders", "where": "id > 1"},
        {"id": "valid", "type": "validate", "input": "big", "rules": [{"id": "priced", "check": "price > 0"}]},
    ],
    "sinks": [{"id": "rows", "type": "sqlite", "input": "valid", "path": "x.db", "table": "t"}],
})  # fmt: skip
READ = StepCount("orders", "read", 10, 9, quarantined=1)
BIG = StepCount("big", "filter", 9, 7, filtered=2)
VALID = StepCount("valid", "validate", 7, 4, quarantined=3)


def test_what_adds_up_is_no_imbalance() -> None:
    """Ten rows were read: four are loaded, two filtered, four refused."""
    assert imbalances(PLAN, [READ, BIG, VALID], {"rows": 4}) == []
    sums = figures(PLAN, [READ, BIG, VALID])
    assert (sums.rows_read, sums.rows_loaded, sums.rows_filtered, sums.rows_quarantined) == (10, 4, 2, 4)


@pytest.mark.parametrize(
    ("counts", "staged", "says"),
    [
        ([replace(READ, rows_in=11), BIG, VALID], 4, "step 'orders' (read): in is 11"),
        ([READ, replace(BIG, filtered=1), VALID], 4, "step 'big' (filter): in is 9"),
        ([READ, BIG, replace(VALID, quarantined=2)], 4, "step 'valid' (validate): in is 7"),
        ([READ, replace(BIG, rows_in=8, filtered=1), VALID], 4, "step 'big' took 8 rows from 'orders', which has 9"),
        ([READ, BIG, VALID], 3, "sink 'rows' staged 3 rows from 'valid', which has 4"),
        ([READ, BIG, VALID], 5, "sink 'rows' staged 5 rows from 'valid', which has 4"),
        ([replace(READ, rows_in=11), BIG, VALID], 4, "11 rows were read, but 10 are loaded, filtered or quarantined"),
    ],
)
def test_a_row_too_few_or_too_many_is_told_with_its_place(counts: list[StepCount], staged: int, says: str) -> None:
    """Within a step, between two, before a sink, and along the whole way."""
    assert any(said.startswith(says) for said in imbalances(PLAN, counts, {"rows": staged}))


def test_a_destination_that_takes_fewer_rows_gets_none(desk: Any, calm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a sink has staged is held against what it was given, before anything is committed."""
    stage = SqliteDestination.stage
    monkeypatch.setattr(SqliteDestination, "stage", lambda *given: stage(*given) - 1)
    with pytest.raises(LoadFailed, match="sink 'rows' staged 2 rows from 'valid', which has 3") as failed:
        load(desk.order(), calm)
    assert failed.value.error.code == "ledger_mismatch"
    assert not desk.database.exists()
