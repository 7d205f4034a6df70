"""A plan is judged as far as its data can be seen, and never for data that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from etlplus.engines.control import LoadFailed
from etlplus.engines.load import check, load


def step(desk: Any, **new: Any) -> Any:
    desk.plan = desk.plan | {"steps": [*desk.plan["steps"], {"id": "more", "input": "valid"} | new]}
    return desk


def test_a_good_plan_has_no_problems_and_leaves_no_trace(desk: Any) -> None:
    """Checked against real headers; no destination is touched."""
    assert check(desk.order()) == ()
    assert list(desk.out.iterdir()) == []


def test_a_wrong_column_is_named_with_its_place_and_a_suggestion(desk: Any) -> None:
    """The header is looked up in the source."""
    (problem,) = check(step(desk, type="derive", columns={"x": "prise + 1"}).order())
    assert problem.pointer == "/steps/3/columns/x"
    assert problem.suggestion == "did you mean 'price'?"


def test_a_wrong_type_is_found(desk: Any) -> None:
    """A text cannot be subtracted; DuckDB's own judgment is told."""
    (problem,) = check(step(desk, type="derive", columns={"x": "shop - shop"}).order())
    assert problem.pointer == "/steps/3/columns/x"


def test_a_type_for_a_column_that_is_not_there_is_found(desk: Any, calm: Any) -> None:
    """It would change nothing, and the column that was meant would be guessed."""
    source = desk.plan["sources"]["orders"] | {"columns": {"PRICE": "INTEGER", "shp": "VARCHAR"}}
    desk.plan = desk.plan | {"sources": desk.plan["sources"] | {"orders": source}}
    (problem,) = check(desk.order())
    assert (problem.pointer, problem.suggestion) == ("/sources/orders/columns/shp", "did you mean 'shop'?")
    with pytest.raises(LoadFailed, match="has no column 'shp'") as failed:
        load(desk.order(), calm)
    assert failed.value.error.code == "invalid_plan"


def test_a_source_that_is_no_csv_is_no_problem_of_the_plan(desk: Any) -> None:
    """A good file may come in its place before the run does."""
    desk.source.write_text('id,shop,price\n1,a,10\n2,"b,20\n')
    assert check(desk.order()) == ()


def test_without_parameters_only_the_expressions_are_judged(desk: Any) -> None:
    """A missing value is no problem, a forbidden function is."""
    assert check(step(desk, type="derive", columns={"x": "prise + 1"}).order(params={})) == ()
    desk.plan = desk.plan | {"steps": desk.plan["steps"][:-1]}
    (problem,) = check(step(desk, type="filter", where="read_text('/etc/passwd') = ''").order(params={}))
    assert "not allowed" in problem.message


def test_a_missing_file_is_no_problem_of_the_plan(desk: Any) -> None:
    """It may come before the run does."""
    desk.source.unlink()
    assert check(desk.order()) == ()


@pytest.mark.parametrize("action", ["quarantine", "fail"])
def test_groups_cannot_be_quarantined(desk: Any, action: str) -> None:
    """A group has no row of its own in a source; the other actions work on it."""
    rule = {"id": "some", "check": "total > 0", "action": action}
    problems = check(step(desk, type="validate", input="sums", rules=[rule]).order())
    assert [p.pointer for p in problems] == (["/steps/3/rules/0/action"] if action == "quarantine" else [])


def test_a_broken_structure_is_told(desk: Any) -> None:
    """An unknown input is found before any source is looked at."""
    (problem,) = check(step(desk, type="filter", input="nobody", where="true").order())
    assert problem.pointer == "/steps/3/input"
