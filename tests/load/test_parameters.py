"""Values reach the engine as values: of their types, and never as a part of what it is told to do."""

from __future__ import annotations

from typing import Any

import pytest
from pyarrow import parquet

from etlplus.engines.control import LoadFailed
from etlplus.engines.load import check, load

ORDERS = """\
id,at,day,shop
1,2026-03-28T03:59:59Z,2026-03-27,a
2,2026-03-28T04:00:00Z,2026-03-28,b
3,2026-03-29T04:00:00Z,2026-03-29,it's
"""
NEW_YORKS_DAY = ("2026-03-28T04:00:00+00:00", "2026-03-29T04:00:00+00:00")


def order(desk: Any, step: dict[str, Any], declared: dict[str, Any], given: dict[str, Any], **more: Any) -> Any:
    desk.source.write_text(ORDERS)
    interval = more.pop("interval_of_run", None)
    desk.plan = {
        "name": "p",
        "sources": {"orders": {"type": "csv", "path": "orders.csv"}},
        "params": declared,
        "steps": [{"id": "s", "input": "orders"} | step],
        "sinks": [{"id": "out", "type": "parquet", "input": "s", "path": "out.parquet"}],
    } | more
    return desk.order(params=given, interval=interval, base_dir=str(desk.folder))


def loaded(desk: Any, calm: Any, ordered: Any) -> list[dict[str, Any]]:
    assert check(ordered) == ()
    load(ordered, calm)
    return parquet.read_table(desk.folder / "out.parquet").to_pylist()


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("b", [2]),
        ("it's", [3]),
        ("b' or 'x' = 'x", []),
        ("$shop", []),
        ("b'; drop table orders; --", []),
        ("x" * 900_000, []),
    ],
    ids=["plain", "quote", "or", "name", "drop", "long"],
)
def test_whatever_a_text_says_it_is_compared_and_not_carried_out(
    desk: Any, calm: Any, value: str, ids: list[int]
) -> None:
    """Also where the parameter is called like the column."""
    step = {"type": "filter", "where": "shop = $shop"}
    assert [row["id"] for row in loaded(desk, calm, order(desk, step, {"shop": None}, {"shop": value}))] == ids


def test_a_value_has_the_type_of_its_parameter(desk: Any, calm: Any) -> None:
    """Names that differ in case only are two; null is of its type."""
    declared = {"d": {"type": "date"}, "D": 1, "b": True, "f": 0.5, "z": {"type": "integer", "default": None}}
    columns = {"year": "year($d) + $D", "b": "not $b", "f": "$f * 3", "z": "coalesce($z, id)", "t": "$d::varchar"}
    rows = loaded(desk, calm, order(desk, {"type": "derive", "columns": columns}, declared, {"d": "2026-03-28"}))
    assert [rows[0][name] for name in columns] == [2027, False, 1.5, 1, "2026-03-28"]


def test_groups_may_use_values(desk: Any, calm: Any) -> None:
    """Beside what is counted."""
    step = {"type": "aggregate", "by": ["shop"], "columns": {"n": "count(*) * $n"}}
    assert [row["n"] for row in loaded(desk, calm, order(desk, step, {"n": 10}, {}))] == [10, 10, 10]


@pytest.mark.parametrize("column", ["at", "day"])
def test_a_run_reads_what_belongs_to_its_interval(desk: Any, calm: Any, column: str) -> None:
    """The start belongs to it, the end does not; days are those of the plan's zone."""
    step = {"type": "filter", "where": f"{column} >= $interval_start and {column} < $interval_end"}
    ordered = order(desk, step, {}, {}, interval="required", zone="America/New_York", interval_of_run=NEW_YORKS_DAY)
    assert [row["id"] for row in loaded(desk, calm, ordered)] == [2]


@pytest.mark.parametrize(
    ("where", "suggestion"),
    [
        ("shop = $shp", "did you mean 'shop'?"),
        ("at > $interval_start", "interval: required"),
        ("shop = region", "the parameter is $region"),
        ("shop = ?", "known here: shop, region"),
        ("shop = $1", "known here: shop, region"),
        ('shop = $"shop"', "did you mean 'shop'?"),
        ("shop = getvariable('value_0')", None),
    ],
)
@pytest.mark.parametrize("seen", [True, False])
def test_an_expression_names_only_what_is_declared(desk: Any, where: str, suggestion: str | None, seen: bool) -> None:
    """Told when the plan is checked, also where its source cannot be looked at yet."""
    ordered = order(desk, {"type": "filter", "where": where}, {"shop": None, "region": "x"}, {})
    if not seen:
        desk.source.unlink()
    found = check(ordered)
    if seen or "region" not in where:
        assert [(problem.pointer, problem.suggestion) for problem in found] == [("/steps/0/where", suggestion)]


def test_a_run_that_was_never_judged_fails_with_what_it_lacks(desk: Any, calm: Any) -> None:
    """One of an earlier version; what the plan does not know is left aside, as it was then."""
    step = {"type": "filter", "where": "shop = $shop"}
    ordered = order(desk, step, {"shop": None}, {"other": 1}, interval="required")
    with pytest.raises(LoadFailed) as failed:
        load(ordered, calm)
    assert failed.value.error.code == "invalid_params"
    assert [text.split(":")[0] for text in failed.value.error.problems] == ["/params/shop", "/interval"]
