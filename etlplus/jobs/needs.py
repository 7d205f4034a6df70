"""
What a run of a pipeline has to be given: the parameters that it declares, and perhaps an interval.

Asked when a run is wished for, when a job is saved whose schedule gives parameters, and once more by the load.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, cast

import msgspec

from etlplus.jobs.parameters import Declared, Misfit, Parameter, Value, converted, in_full
from etlplus.jobs.refusal import TOLD_MAX, Refusal
from etlplus.jobs.texts import escaped

PATH_CHARS_MAX = 4096


class Needs(msgspec.Struct, frozen=True):
    """``paths`` are the parameters that are the whole of a path; ``interval`` says whether no run can do without one."""

    parameters: dict[str, Parameter] = {}
    paths: frozenset[str] = frozenset()
    interval: bool = False


def needs(declared: Mapping[str, Declared], paths: Iterable[str], *, interval: bool) -> Needs:
    """What follows from the declarations of a pipeline. A parameter that only a path names is a text."""
    named = frozenset(paths)
    known = {name: Parameter() for name in named} | {name: in_full(each) for name, each in declared.items()}
    return Needs(known, named, interval)


def needs_of(pipeline: Mapping[str, Any]) -> Needs | None:
    """
    The needs that the document of a pipeline tells of. None if it has no sources: that is no plan of ours, but something for
    whoever carries it to judge.

    Raises:
        msgspec.ValidationError: the declarations cannot be read.
    """
    if "sources" not in pipeline:
        return None
    declared = msgspec.convert(pipeline.get("params") or {}, dict[str, Declared])
    return needs(declared, _paths(pipeline), interval=pipeline.get("interval") == "required")


def unmet(needs: Needs, params: Mapping[str, Any], place: str, *, has_interval: bool) -> list[Refusal]:
    """
    Why a run cannot be made with these parameters: each that is unknown, that is missing, or that is something else than what
    was declared; and an interval that it needs.

    Args:
        place: What stands in front of ``/params`` and ``/interval`` in pointers.
    """
    found = [*_unknown(needs.parameters, params, place), *_misfits(needs, params, place)]
    if needs.interval and not has_interval:
        message, accepted = "the pipeline needs an interval", "a first moment, and a second one after it"
        found.append(Refusal(message, f"{place}/interval", "missing_interval", accepted))
    return found[:TOLD_MAX]


def _unknown(declared: Mapping[str, Parameter], params: Mapping[str, Any], place: str) -> Iterator[Refusal]:
    for name in params:
        if name not in declared:
            message = f"the pipeline has no parameter {name!r:.60}"
            yield Refusal(message, f"{place}/params/{escaped(name)}", "unknown_param", _offer(name, declared))


def _misfits(needs: Needs, params: Mapping[str, Any], place: str) -> Iterator[Refusal]:
    for name, parameter in needs.parameters.items():
        pointer = f"{place}/params/{name}"
        if name not in params:
            if parameter.is_required:
                message = f"the parameter {name!r} is missing"
                yield Refusal(message, pointer, "missing_param", parameter.accepted)
            continue
        try:
            value = converted(parameter, params[name])
            if name in needs.paths:
                _hold_path(value)
        except Misfit as misfit:
            yield Refusal(misfit.message, pointer, "invalid_params", misfit.accepted)


def _hold_path(value: Value) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= PATH_CHARS_MAX or "\0" in value:
        raise Misfit("this is no path", f"1 to {PATH_CHARS_MAX} characters without NUL")


def _paths(pipeline: Mapping[str, Any]) -> Iterator[str]:
    """The parameters that are the whole of a path, as far as the document can be understood."""
    sources, sinks = pipeline.get("sources"), pipeline.get("sinks")
    parts = [*cast("dict[str, Any]", sources).values()] if isinstance(sources, dict) else []
    parts += cast("list[Any]", sinks) if isinstance(sinks, list) else []
    for part in parts:
        path = cast("dict[str, Any]", part).get("path") if isinstance(part, dict) else None
        name = cast("dict[str, Any]", path).get("param") if isinstance(path, dict) else None
        if isinstance(name, str):
            yield name


def _offer(name: str, declared: Mapping[str, Parameter]) -> str:
    if near := get_close_matches(name[:64], declared, n=1):
        return f"did you mean {near[0]!r}?"
    return f"parameters: {', '.join(declared)}" if declared else "none: it declares no parameters"
