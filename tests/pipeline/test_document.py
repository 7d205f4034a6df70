"""A pipeline's text becomes a plan, or says with line and column what is wrong."""

import json
import textwrap
from typing import Any

import msgspec
import pytest

from etlplus.errors import Invalid, Problem
from etlplus.jobs.parameters import Declared, in_full
from etlplus.pipeline.document import convert, decode, read
from etlplus.pipeline.plan import plan_id

GOOD = textwrap.dedent("""\
    name: flights
    sources:
      raw: {type: csv, path: {param: flights_csv}, nulls: ["", NA]}
    steps:
      - id: late
        type: filter
        input: raw
        where: dep_delay > 0
    sinks:
      - {id: out, type: sqlite, input: late, path: x.db, table: flights}
    """)


def refused(text: str) -> Problem:
    with pytest.raises(Invalid) as caught:
        decode(text, file="p.yaml")
    (problem,) = caught.value.problems
    return problem


def test_yaml_json_and_plain_data_give_the_same_plan() -> None:
    """However a plan is written down, its id is the same."""
    import yaml

    data = yaml.safe_load(GOOD)
    assert plan_id(decode(GOOD)) == plan_id(decode(json.dumps(data))) == plan_id(convert(data))
    assert plan_id(decode(GOOD.replace("> 0", "> 1"))) != plan_id(decode(GOOD))


def test_a_wrong_key_is_named_with_its_place_and_the_nearest_right_key() -> None:
    """A misspelled key gives file, line, column and a suggestion."""
    problem = refused(GOOD.replace("where:", "were:"))
    assert (problem.file, problem.line, problem.suggestion) == ("p.yaml", 8, "did you mean 'where'?")
    problem = refused(GOOD.replace("    where: dep", "    wheer: x\n    where: dep"))
    assert (problem.line, problem.column) == (8, 5)
    assert problem.suggestion == "did you mean 'where'?"


def test_a_wrong_type_is_named_with_its_place() -> None:
    """A number where a text belongs is refused at its place."""
    problem = refused(GOOD.replace("where: dep_delay > 0", "where: 5"))
    assert (problem.line, problem.column, problem.pointer) == (8, 5, "/steps/0/where")


SEVERAL = GOOD.replace("steps:", "  more: {type: csv, path: x}\n  last: {type: csv, path: x}\nsteps:")


@pytest.mark.parametrize(
    ("old", "new", "pointer", "place", "suggestion"),
    [
        ("more: {type", "more: {tpe", "/sources/more/tpe", (4, 10), "did you mean 'type'?"),
        ("last: {type: csv, path", "last: {type: csv, pth", "/sources/last/pth", (5, 21), "did you mean 'path'?"),
        ("last: {type: csv", "last: {type: cvs", "/sources/last/type", (5, 10), "did you mean 'csv'?"),
        (
            "last: {type: csv, path: x",
            "last: {type: csv, path: 5",
            "/sources/last/path",
            (5, 21),
            "a path, absolute or from the job's folder",
        ),
        ("  more: {", "  mo-re: {", "/sources/mo-re", (4, 3), "letters, digits and _"),
        ("id: late", "id: l-te", "/steps/0/id", (7, 5), "letters, digits and _"),
        ("type: filter", "type: flter", "/steps/0/type", (8, 5), "did you mean 'filter'?"),
        ("type: filter", "type: x", "/steps/0/type", (8, 5), "accepted: aggregate, derive, filter, join, validate"),
        ("table: flights", "mode: upsert", "/sinks/0/mode", (12, 54), "accepted: append, replace"),
        ("table: flights", "x: 5", "/sinks/0/x", (12, 54), "accepted: id, input, mode, path, table, type"),
        ("name: flights", "x: 5", "/x", (1, 1), "accepted: interval, name, params, sinks, sources, steps, zone"),
    ],
)
def test_what_would_be_right_is_said(
    old: str, new: str, pointer: str, place: tuple[int, int], suggestion: str | None
) -> None:
    """Also in the last of several sources, and for a wrong choice as for a wrong key."""
    problem = refused(SEVERAL.replace(old, new))
    assert (problem.pointer, (problem.line, problem.column), problem.suggestion) == (pointer, place, suggestion)


def test_an_unknown_input_is_named_with_the_nearest_known_one() -> None:
    """A step may only name what stands before it."""
    problem = refused(GOOD.replace("input: raw", "input: rwa"))
    assert (problem.line, problem.column) == (7, 5)
    assert problem.suggestion == "did you mean 'raw'?"


@pytest.mark.parametrize("text", ["", "name: [", "a: b: c", "\tname: x", "5", "[]"])
def test_text_that_is_no_pipeline_is_refused(text: str) -> None:
    """Broken or empty text is answered with a sentence, never with a traceback."""
    assert refused(text).message


def test_two_steps_may_not_share_a_name() -> None:
    """An id stands for one thing."""
    assert refused(GOOD.replace("id: late", "id: raw").replace("input: late", "input: raw")).code == "duplicate"


def test_on_and_no_are_texts() -> None:
    """Only true and false are booleans: the null marker NO stays a text, and ``on`` is a key."""
    plan = decode(GOOD.replace('["", NA]', "[NO, on, off]"))
    assert plan.sources["raw"].nulls == ("NO", "on", "off")


def test_a_plan_has_a_bounded_number_of_parts() -> None:
    """A hundred steps are enough for anybody, and what thousands would cost is refused at once."""
    step = "  - {id: s%d, type: filter, input: raw, where: a}\n"
    many = GOOD.replace("sinks:", "".join(step % number for number in range(100)) + "sinks:")
    assert "length <= 100" in refused(many).message


def test_a_document_that_says_too_much_is_refused() -> None:
    """Whether in depth, by anchors that repeat each other, or by one that refers to itself: it costs nobody the machine."""
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    for text, code in (
        ("a0: &a0 [x]\n" + laughs, "too_large"),
        ("a: &a [*a]\n", "too_deep"),
        ("a: " + "{a: " * 150 + "1" + "}" * 150, "too_deep"),
        ("a: " + "{a: " * 20_000 + "1" + "}" * 20_000, "too_deep"),
    ):
        problem = refused(text)
        assert (problem.code, problem.file) == (code, "p.yaml")
        assert "at most" in str(problem)


def test_days_and_moments_stay_texts():
    """As they are in JSON: what they are is said by the parameter that they are for."""
    text = "params: {day: 2026-03-28, at: 2026-03-28T12:00:00Z, due: {type: date, default: 2026-03-28}}"
    content, _ = read(text)
    declared = msgspec.convert(content, dict[str, dict[str, Any]])["params"]
    assert declared["day"] == "2026-03-28"
    assert declared["at"] == "2026-03-28T12:00:00Z"
    kinds = {name: in_full(each).type for name, each in msgspec.convert(declared, dict[str, Declared]).items()}
    assert kinds == {"day": "text", "at": "text", "due": "date"}
