"""
What a run gives to a plan: which values may stand where, and what they are there.

In paths and options values become texts here; in expressions the engine has them, as values of its own types. Safe for the
daemon.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from etlplus.errors import Invalid, Problem
from etlplus.jobs import zones
from etlplus.jobs.needs import Needs, needs, unmet
from etlplus.jobs.parameters import Misfit, Parameter, Value, bound, converted, in_full
from etlplus.jobs.refusal import BadSchedule
from etlplus.pipeline import templates
from etlplus.pipeline.complaints import offer, refused
from etlplus.pipeline.plan import Param, Pipeline, SqliteTable

INTERVAL = ("interval_start", "interval_end")
"""What the ends of a run's interval are called where values stand."""

_MOMENT = Parameter(type="timestamp", description="an end of the run's interval")
_PART = re.compile(r"[^./\\\x00][^/\\\x00]*")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


def needs_of(plan: Pipeline) -> Needs:
    """What a run of the plan has to be given."""
    paths = (part.path.param for part in (*plan.sources.values(), *plan.sinks) if isinstance(part.path, Param))
    return needs(plan.params, paths, interval=plan.interval == "required")


def usable(plan: Pipeline) -> dict[str, Parameter]:
    """All that may be named where values stand: parameters and, if the runs have one, the ends of the interval."""
    needed = needs_of(plan)
    return needed.parameters | (dict.fromkeys(INTERVAL, _MOMENT) if needed.interval else {})


def problems(plan: Pipeline) -> list[Problem]:
    """What cannot be right about a plan's declarations, and about the values in its paths and options."""
    found = [problem for name in plan.params for problem in _misdeclared(name, in_full(plan.params[name]))]
    try:
        zones.zone(plan.zone)
    except BadSchedule as error:
        found.append(Problem(error.message, "/zone", suggestion=error.accepted))
    known = usable(plan)
    for name, source in plan.sources.items():
        found += _misplaced_in_path(source.path, known, f"/sources/{name}/path")
    for at, sink in enumerate(plan.sinks):
        found += _misplaced_in_path(sink.path, known, f"/sinks/{at}/path")
        if isinstance(sink, SqliteTable) and isinstance(sink.table, Param):
            found += _misplaced(sink.table.param, known, f"/sinks/{at}/table", _NAME.fullmatch, "a name of a table")
    return found


def values(plan: Pipeline, params: Mapping[str, Any], interval: tuple[str, str] | None) -> dict[str, Value]:
    """
    What a run gives to a plan, by name: parameters, defaults, and the ends of its interval in UTC.

    Runs are judged when they are made. Those that an earlier version made were not: of these, what the plan does not know is
    left aside, as it was then.

    Raises:
        Invalid: something is missing or of another type.
    """
    needed = needs_of(plan)
    given = {name: value for name, value in params.items() if name in needed.parameters}
    if refusals := unmet(needed, given, "", has_interval=interval is not None):
        raise Invalid("the run does not fit its pipeline", refused(refusals), code="invalid_params")
    ends = zip(INTERVAL, interval or (), strict=False)
    return bound(usable(plan), given | dict(ends))


def path_of(path: str | Param, plan: Pipeline, given: Mapping[str, Value]) -> str:
    """A path with its values. Raises KeyError if one is missing."""
    if isinstance(path, Param):
        return text_of(path, given)
    return templates.filled(path, given, zones.zone(plan.zone).info)


def text_of(option: str | Param, given: Mapping[str, Value]) -> str:
    """An option as it was written, or as the run gives it. Raises KeyError if that is missing."""
    return str(given[option.param]) if isinstance(option, Param) else option


def unknown(name: str, known: Iterable[str], pointer: str) -> Problem:
    """The problem of a name that stands for no value."""
    if name in INTERVAL:
        return Problem("the pipeline does not say that its runs have an interval", pointer, "unknown_param",
                       suggestion="interval: required")  # fmt: skip
    said = f"the pipeline has no parameter {name!r}"
    suggestion = offer("known here:", name, list(known)) or "declare it under params"
    return Problem(said, pointer, "unknown_param", suggestion=suggestion)


def _misdeclared(name: str, parameter: Parameter) -> Iterator[Problem]:
    pointer = f"/params/{name}"
    if name in INTERVAL:
        yield Problem(f"{name!r} is the run's own", pointer, "reserved_name", suggestion="another name")
    try:
        for at, choice in enumerate(parameter.choices):
            pointer = f"/params/{name}/choices/{at}"
            converted(replace(parameter, choices=()), choice)
        pointer = f"/params/{name}/default"
        if not parameter.is_required:
            converted(parameter, parameter.default)
    except Misfit as misfit:
        yield Problem(misfit.message, pointer, "invalid_params", suggestion=misfit.accepted)


def _misplaced_in_path(path: str | Param, known: Mapping[str, Parameter], pointer: str) -> Iterator[Problem]:
    if isinstance(path, Param):
        yield from _misplaced(path.param, known, pointer, lambda _: True, "a path")
        return
    try:
        places = templates.places(path)
    except ValueError as error:
        yield Problem(str(error), pointer, "template", suggestion="{NAME}, {NAME:%Y-%m-%d}, or {{ and }} for braces")
        return
    for name, form in places:
        yield from _misplaced(name, known, pointer, _PART.fullmatch, "a part of a path")
        if form is not None and name in known and known[name].type not in ("date", "timestamp"):
            said = f"the parameter {name!r} is a {known[name].type}, which has no form"
            yield Problem(said, pointer, "template", suggestion=f"{{{name}}}")


def _misplaced(
    name: str, known: Mapping[str, Parameter], pointer: str, fits: Callable[[str], object], what: str
) -> Iterator[Problem]:
    """A parameter where it cannot stand: whatever its value will be, it has to fit there."""
    if (parameter := known.get(name)) is None:
        yield unknown(name, known, pointer)
    elif parameter.may_be_null:
        yield Problem(f"the parameter {name!r} may be null", pointer, suggestion="a parameter that always has a value")
    elif what == "a path":
        if parameter.type not in ("text", "name"):
            yield Problem(f"the parameter {name!r} is a {parameter.type}, and no path", pointer, suggestion="a text")
    elif not _always_fits(parameter, fits, what):
        said = f"not every value of the parameter {name!r} is {what}"
        yield Problem(said, pointer, suggestion="a parameter of type name, or with choices that all are")


def _always_fits(parameter: Parameter, fits: Callable[[str], object], what: str) -> bool:
    if parameter.type == "text":
        return bool(parameter.choices) and all(fits(str(choice)) for choice in parameter.choices)
    return parameter.type == "name" or what == "a part of a path"
