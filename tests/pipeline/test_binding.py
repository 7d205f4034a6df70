"""Values stand in paths and options only where each that they can be fits, and lead nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from etlplus.errors import Invalid, Problem
from etlplus.pipeline.binding import path_of, values
from etlplus.pipeline.document import convert, decode
from etlplus.pipeline.plan import Pipeline

DAY = ("2026-03-28T23:00:00+00:00", "2026-03-29T23:00:00+00:00")


def a_plan(path: Any = "out.parquet", params: Any = None, **more: Any) -> dict[str, Any]:
    source = {"type": "csv", "path": "in.csv"}
    sink = {"id": "out", "type": "parquet", "input": "a", "path": path}
    return {"name": "p", "sources": {"a": source}, "sinks": [sink], "params": params or {}} | more


def written(plan: Pipeline, params: dict[str, Any], interval: tuple[str, str] | None = None) -> str:
    return path_of(plan.sinks[0].path, plan, values(plan, params, interval))


def refused(document: dict[str, Any]) -> Problem:
    with pytest.raises(Invalid) as caught:
        convert(document)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("path", "zone", "found"),
    [
        ("{interval_start:%Y/%m/%d}.csv", "UTC", "2026/03/28.csv"),
        ("{interval_start:%Y-%m-%d}.csv", "Europe/Berlin", "2026-03-29.csv"),
        ("{interval_end}", "UTC", "2026-03-29T23:00:00Z"),
        ("{day}-{n}-{{x}}", "UTC", "2026-05-04-7-{x}"),
        ("{day:%d.%m.}/{shop}", "UTC", "04.05./eu-west"),
    ],
)
def test_a_path_is_written_with_its_values(path: str, zone: str, found: str) -> None:
    """Days and moments in the form that is asked for, moments by the clocks of the plan's zone."""
    params = {"day": {"type": "date"}, "n": 7, "shop": {"choices": ["eu-west", "x"], "default": "eu-west"}}
    plan = convert(a_plan(path, params, interval="required", zone=zone))
    assert written(plan, {"day": "2026-05-04"}, DAY) == found


@pytest.mark.parametrize(
    ("path", "params", "code"),
    [
        ("{t}.csv", {"t": "x"}, "invalid"),  # any text could lead anywhere
        ("{t}.csv", {"t": {"choices": ["a", "../b"]}}, "invalid"),
        ("{t}.csv", {"t": {"choices": [".."]}}, "invalid"),
        ("{t}.csv", {"t": {"type": "date", "default": None}}, "invalid"),
        ({"param": "t"}, {"t": {"default": None}}, "invalid"),
        ({"param": "t"}, {"t": 5}, "invalid"),
        ("{s}.csv", {"t": 5}, "unknown_param"),
        ("{interval_start}.csv", {}, "unknown_param"),
        ("{t:%Y}.csv", {"t": 5}, "template"),
        ("{t:%c}.csv", {"t": {"type": "date"}}, "template"),
        *((path, {"t": 5}, "template") for path in ("{", "}", "{}", "{t", "{ t }", "{t!r}", "{t.x}", "{t:}")),
    ],
)
def test_a_value_that_may_not_fit_a_path_is_refused_with_the_plan(path: Any, params: Any, code: str) -> None:
    """Before any run: whatever the value will be, it has to fit."""
    problem = refused(a_plan(path, params))
    assert (problem.pointer, problem.code) == ("/sinks/0/path", code)
    assert problem.suggestion


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"n": {"type": "integer", "default": "x"}}, "/params/n/default"),
        ({"n": {"choices": ["a"], "default": "b"}}, "/params/n/default"),
        ({"n": {"type": "integer", "choices": [1, "a"]}}, "/params/n/choices/1"),
        ({"n": float("nan")}, "/params/n/default"),
        ({"n": 2**63}, "/params/n/default"),
        ({"interval_end": 1}, "/params/interval_end"),
        ({"n": {"tipe": "x"}}, "/params/n/tipe"),
        ({"a b": 1}, "/params/a b"),
        ({f"p{number}": 1 for number in range(101)}, "/params"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_with_its_place(params: Any, pointer: str) -> None:
    """A default has to be what its parameter is, and a name is nobody else's."""
    assert refused(a_plan(params=params)).pointer == pointer


def test_a_table_may_be_given_by_what_is_always_a_name() -> None:
    """Not by any text."""
    sink = {"id": "out", "type": "sqlite", "input": "a", "path": "x", "table": {"param": "t"}}
    convert(a_plan(params={"t": {"type": "name"}}, sinks=[sink]))
    convert(a_plan(params={"t": {"choices": ["a", "b"]}}, sinks=[sink]))
    for params in ({"t": "x"}, {"t": {"choices": ["_etlplus_token"]}}, {"t": {"type": "date"}}, {}):
        assert refused(a_plan(params=params, sinks=[sink])).pointer == "/sinks/0/table"


def test_a_zone_is_one_of_the_worlds() -> None:
    """Any other is refused with the plan."""
    assert refused(a_plan(zone="Europe/Berlin2")).pointer == "/zone"


def test_days_stay_texts_in_a_document() -> None:
    """In YAML as in JSON: what a value is, its parameter says."""
    text = """\
name: p
params: {day: {type: date, default: 2026-03-28}}
sources: {a: {type: csv, path: "{day}.csv", nulls: [2026-01-01]}}
sinks: [{id: o, type: parquet, input: a, path: "{day}.parquet"}]
"""
    plan = decode(text)
    assert plan.sources["a"].nulls == ("2026-01-01",)
    assert written(plan, {}) == "2026-03-28.parquet"
