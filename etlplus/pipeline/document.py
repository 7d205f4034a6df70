"""
From a pipeline's text to its plan, with the exact place of everything that is wrong.

YAML and JSON keep their positions (JSON is read as the YAML that it is). Only the document is judged here: names, keys,
types, and which step feeds which. Expressions and columns are judged by the engine, which knows the data.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import msgspec
import yaml

from etlplus.errors import Invalid, Problem
from etlplus.jobs.texts import escaped
from etlplus.pipeline import binding
from etlplus.pipeline.complaints import offer, problem_of
from etlplus.pipeline.plan import Join, Pipeline

Positions = dict[str, tuple[int, int]]


class _Loader(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans, so that the key ``on`` and the text ``no`` stay texts, and so do
    days and moments, as in JSON: what they are is said by the field that they stand in.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        """A value; what is none of its kind is told with its place, as a number of far too many digits is."""
        try:
            return super().construct_object(node, deep)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # untyped
        except ValueError:
            kind = {"int": "whole number that can be read"}.get(name := node.tag.rpartition(":")[2], name)
            raise yaml.constructor.ConstructorError(None, None, f"this is no {kind}", node.start_mark) from None


_OTHERWISE = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHERWISE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)\Z"), list("tf"))  # pyright: ignore[reportUnknownMemberType]  # untyped


_MERGE = "<<"
"""YAML's key for taking over another mapping, which may stand more than once."""


PLACES_MAX = 100_000
"""Of values in one document; a few anchors that repeat each other can stand for more than any machine holds."""
DEPTH_MAX = 100


class _Unfit(Exception):
    """What YAML would read, and we do not: the problem, and where it is."""

    def __init__(self, problem: Problem, at: tuple[int, int]) -> None:
        super().__init__(problem.message)
        self.problem, self.at = problem, at


def decode(text: str, *, file: str | None = None) -> Pipeline:
    """The plan that ``text`` (YAML or JSON) writes down. Raises Invalid with every problem's line and column."""
    value, positions = read(text, file=file)
    if value is None:
        raise Invalid("the pipeline is empty", [Problem("expected name, sources and sinks", file=file)])
    return _judged(value, positions, file)


def read(text: str, *, file: str | None = None) -> tuple[object, Positions]:
    """What ``text`` (YAML or JSON) says, as plain data, and where it says it. Raises Invalid where it is no YAML."""
    positions: Positions = {}
    try:
        if (root := _composed(text)) is not None:
            _locate(root, "", positions)
        return yaml.load(text, Loader=_Loader), positions
    except _Unfit as error:
        line, column = error.at
        problem = msgspec.structs.replace(error.problem, file=file, line=line, column=column)
        raise Invalid("the document cannot be read", [problem]) from error
    except RecursionError as error:  # of the reader itself, which goes down the document before we do
        raise Invalid("the document cannot be read", [msgspec.structs.replace(_too_deep(""), file=file)]) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (mark.line + 1, mark.column + 1) if mark else (None, None)
        problem = Problem(str(error.problem), "", "syntax", file, *place)
        raise Invalid("the pipeline cannot be read", [problem]) from error
    except yaml.YAMLError as error:
        raise Invalid("the pipeline cannot be read", [Problem(str(error), "", "syntax", file)]) from error


def convert(value: object) -> Pipeline:
    """The plan that plain data holds, as it comes out of JSON. Raises Invalid with a pointer to each problem."""
    return _judged(value, {}, None)


def place(problem: Problem, positions: Positions, file: str | None) -> Problem:
    """The problem with the line and column of its pointer, or of the nearest parent that stands in the text."""
    pointer = problem.pointer
    while pointer and pointer not in positions:
        pointer = pointer.rpartition("/")[0]
    line, column = positions.get(pointer, (None, None))
    return msgspec.structs.replace(problem, file=file, line=line, column=column)


def _judged(value: object, positions: Positions, file: str | None) -> Pipeline:
    try:
        plan = msgspec.convert(value, Pipeline)
    except msgspec.ValidationError as error:
        problem = place(problem_of(error, value, Pipeline), positions, file)
        raise Invalid("the pipeline cannot be used", [problem]) from error
    problems = [place(problem, positions, file) for problem in (*_wiring(plan), *binding.problems(plan))]
    if problems:
        raise Invalid("the pipeline cannot be used", problems)
    return plan


def _composed(text: str) -> yaml.Node | None:
    compose = cast("Callable[..., yaml.Node | None]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]  # untyped
    return compose(text, Loader=_Loader)


def _locate(node: yaml.Node, pointer: str, positions: Positions) -> None:
    here = (node.start_mark.line + 1, node.start_mark.column + 1)
    positions.setdefault(pointer, here)
    if len(positions) > PLACES_MAX:
        accepted = f"at most {PLACES_MAX:,} values"
        raise _Unfit(Problem("the document says too much", pointer, "too_large", suggestion=accepted), here)
    if pointer.count("/") > DEPTH_MAX:
        raise _Unfit(_too_deep(pointer), here)
    if isinstance(node, yaml.MappingNode):
        for key, inner in node.value:
            below = f"{pointer}/{escaped(str(key.value))}"
            at = (key.start_mark.line + 1, key.start_mark.column + 1)
            if below in positions and key.value != _MERGE:
                message = f"{key.value!r} is given twice: first at line {positions[below][0]}"
                raise _Unfit(Problem(message, below, "duplicate_name", suggestion="each name once"), at)
            positions[below] = at
            _locate(inner, below, positions)
    elif isinstance(node, yaml.SequenceNode):
        for index, inner in enumerate(node.value):
            _locate(inner, f"{pointer}/{index}", positions)


def _too_deep(pointer: str) -> Problem:
    return Problem("it is nested too deeply", pointer, "too_deep", suggestion=f"at most {DEPTH_MAX} levels")


def _wiring(plan: Pipeline) -> list[Problem]:
    """Ids are unique, and every input is a source or an earlier step."""
    known = list(plan.sources)
    problems: list[Problem] = []
    for at, step in enumerate(plan.steps):
        wanted = {"input": step.input} | ({"with": step.lookup} if isinstance(step, Join) else {})
        problems += [p for key, name in wanted.items() for p in _unknown(name, known, f"/steps/{at}/{key}")]
        if step.id in known:
            problems.append(Problem(f"{step.id!r} names two things", f"/steps/{at}/id", "duplicate"))
        known.append(step.id)
    sinks: set[str] = set()
    for at, sink in enumerate(plan.sinks):
        problems += _unknown(sink.input, known, f"/sinks/{at}/input")
        if sink.id in sinks:
            problems.append(Problem(f"{sink.id!r} names two sinks", f"/sinks/{at}/id", "duplicate"))
        sinks.add(sink.id)
    return problems


def _unknown(name: str, known: list[str], pointer: str) -> list[Problem]:
    if name in known:
        return []
    said = f"no source or earlier step is called {name!r}"
    return [Problem(said, pointer, "unknown_input", suggestion=offer("known here:", name, known))]
