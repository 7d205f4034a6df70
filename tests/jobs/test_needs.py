"""What a run has to be given: values of the types that were declared, whatever somebody tries."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import Any

import pytest

from etlplus.jobs.needs import needs_of, unmet
from etlplus.jobs.parameters import Misfit, Parameter, converted, in_full
from etlplus.jobs.refusal import TOLD_MAX, Refusal

GOOD: list[tuple[str, Any, Any]] = [
    ("text", "x' or 1=1 --", "x' or 1=1 --"),
    ("text", "ñ\0💥", "ñ\0💥"),
    ("name", "north_1", "north_1"),
    ("integer", 2**63 - 1, 2**63 - 1),
    ("number", 5, 5.0),
    ("boolean", False, False),
    ("date", "2024-02-29", date(2024, 2, 29)),
    ("timestamp", "2026-03-28T12:00:00+02:00", datetime(2026, 3, 28, 10, tzinfo=UTC)),
]
BAD: list[tuple[str, Any]] = [
    ("text", 5), ("text", None), ("text", ["x"]),
    ("name", "a/b"), ("name", ".."), ("name", "a\n"), ("name", ""), ("name", "é"), ("name", "a" * 64),
    ("integer", 2**63), ("integer", -(2**63) - 1), ("integer", 1.0), ("integer", True), ("integer", "1"),
    ("number", math.nan), ("number", math.inf), ("number", 10**400), ("number", "1"), ("number", True),
    ("boolean", 1), ("boolean", "true"),
    ("date", "2026-02-29"), ("date", "2026-3-8"), ("date", "20260328"), ("date", "2026-03-28T00:00:00Z"), ("date", 5),
    ("date", "٢٠٢٦-03-28"),
    ("timestamp", "2026-03-28"), ("timestamp", "2026-03-28T12:00:00"), ("timestamp", 0), ("timestamp", "now"),
    ("timestamp", "0001-01-01T00:00:00+14:00"),
]  # fmt: skip


def told(pipeline: dict[str, Any], params: dict[str, Any], *, has_interval: bool = False) -> list[Refusal]:
    needed = needs_of({"sources": {}} | pipeline)
    assert needed is not None
    return unmet(needed, params, "/runs/3", has_interval=has_interval)


@pytest.mark.parametrize(("kind", "value", "found"), GOOD)
def test_a_value_becomes_what_its_parameter_is(kind: Any, value: Any, found: Any) -> None:
    """Moments are in UTC then, and whatever a text says is a text."""
    assert converted(Parameter(type=kind), value) == found


@pytest.mark.parametrize(("kind", "value"), BAD)
def test_what_is_something_else_is_refused(kind: Any, value: Any) -> None:
    """Nothing is guessed: a number is no text, a day no moment, and what cannot be told exactly is nothing."""
    with pytest.raises(Misfit) as misfit:
        converted(Parameter(type=kind), value)
    assert misfit.value.accepted


def test_a_value_is_one_of_the_choices() -> None:
    """If there are any; they are compared as what they are."""
    parameter = Parameter(type="timestamp", choices=("2026-03-28T12:00:00Z",))
    assert converted(parameter, "2026-03-28T14:00:00+02:00") == datetime(2026, 3, 28, 12, tzinfo=UTC)
    with pytest.raises(Misfit, match="none of the choices"):
        converted(parameter, "2026-03-28T12:00:01Z")


def test_null_is_a_value_where_the_default_is_null() -> None:
    """And nowhere else."""
    assert converted(Parameter(type="date", default=None), None) is None
    for each in (Parameter(), Parameter(default="x")):
        with pytest.raises(Misfit):
            converted(each, None)


def test_a_parameter_may_be_declared_in_short() -> None:
    """A value is a default of its own type, nothing a text without one."""
    assert [in_full(each).type for each in (True, 1, 1.5, "x", None)] == [
        "boolean", "integer", "number", "text", "text"
    ]  # fmt: skip
    assert in_full(None).is_required
    assert not in_full(0).is_required


def test_each_thing_that_does_not_fit_is_told_with_its_place_and_what_would() -> None:
    """Unknown, missing, of another type, and an interval that is needed."""
    said = {"params": {"day": {"type": "date"}, "n": 0, "region": None}, "interval": "required"}
    found = [(each.pointer, each.code, each.accepted) for each in told(said, {"dey": "x", "n": "few"})]
    assert found == [
        ("/runs/3/params/dey", "unknown_param", "did you mean 'day'?"),
        ("/runs/3/params/day", "missing_param", "a date such as 2026-03-28"),
        ("/runs/3/params/n", "invalid_params", "a whole number within 64 bits"),
        (
            "/runs/3/params/region",
            "missing_param",
            'a text; on a command line, one that looks like a number is written as "42"',
        ),
        ("/runs/3/interval", "missing_interval", "a first moment, and a second one after it"),
    ]
    assert told(said, {"day": "2026-03-28", "region": "x"}, has_interval=True) == []


def test_a_path_declares_its_parameter() -> None:
    """It is a text that names a file, and each run must give it; a default of the pipeline spares that."""
    said: dict[str, Any] = {"sources": {"a": {"path": {"param": "file"}}}, "sinks": [{"path": {"param": "out"}}]}
    assert {each.pointer for each in told(said, {})} == {"/runs/3/params/file", "/runs/3/params/out"}
    for path in ("", "a\0b", "x" * 4097):
        (refusal,) = told(said | {"params": {"out": "x"}}, {"file": path})
        assert (refusal.message, refusal.pointer) == ("this is no path", "/runs/3/params/file")


def test_ten_thousand_values_cost_no_ten_thousand_sentences() -> None:
    """Whatever they are called; a name is a part of its pointer all the same."""
    found = told({"params": {"n": 0}}, {f"a/{number}~": 1 for number in range(10_000)})
    assert len(found) == TOLD_MAX
    assert found[0].pointer == "/runs/3/params/a~10~0"


def test_what_is_no_plan_is_not_judged() -> None:
    """An embedder may carry documents of its own."""
    assert needs_of({}) is None
