"""
From what people wrote to settings that hold: defaults < file < environment < flags.

Every problem is found in one pass and told together, each with its key, its place and what would be accepted; then nothing
is started. The origin of each value is kept, so that ``etlplus config show`` can answer "who set this?".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from etlplus.errors import Misconfigured, Problem
from etlplus.settings.options import options
from etlplus.settings.schema import Settings, contradictions
from etlplus.settings.sources import Finding, from_environment, from_file, from_flags


class Gathered(msgspec.Struct, frozen=True):
    """Settings, and where each value that is no default came from, by dotted key."""

    settings: Settings
    origins: dict[str, str]


def load_settings(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """
    The settings to run with.

    Args:
        file: A TOML file, or None for the defaults.
        environ: The environment to read; None reads none, so that embedding is not at the mercy of variables.
        flags: Dotted keys to values, the strongest source.

    Raises:
        Misconfigured: with one problem per mistake, naming key, place and what is accepted.
    """
    return gather(file, environ, flags).settings


def gather(
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Gathered:
    """Like ``load_settings``, and tells who set what."""
    found = [
        *(from_file(Path(file)) if file is not None else ()),
        *from_environment(environ or {}),
        *from_flags(flags or {}),
    ]
    problems = [each for each in found if isinstance(each, Problem)]
    chosen: dict[str, Finding] = {}
    values: dict[str, Any] = {}
    for finding in found:
        if isinstance(finding, Finding):
            _take(finding, chosen, values, problems)
    settings = _build(values)
    if not problems:
        problems = [_placed(problem, chosen) for problem in contradictions(settings)]
    if problems:
        raise Misconfigured("The configuration cannot be used; nothing was started.", problems)
    return Gathered(settings, {key: finding.origin for key, finding in chosen.items()})


def _take(finding: Finding, chosen: dict[str, Finding], values: dict[str, Any], problems: list[Problem]) -> None:
    """Judge one value; a later source overrules an earlier one, but what is wrong is told wherever it stands."""
    option = finding.option
    try:
        value = msgspec.convert(finding.value, option.annotation, strict=not finding.text)
    except msgspec.ValidationError:
        shown = "what was given" if option.secret else _shown(finding.value)
        problems.append(finding.problem(f"{option.key} cannot be {shown}", f"accepted: {option.accepts}"))
    else:
        chosen[option.key], values[option.key] = finding, value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _build(values: Mapping[str, Any]) -> Settings:
    tree: dict[str, Any] = {}
    for option in options():
        section = tree
        for name in option.path[:-1]:
            section = section.setdefault(name, {})
        section[option.path[-1]] = values.get(option.key, option.default)
    return msgspec.convert(tree, Settings)


def _placed(problem: Problem, chosen: Mapping[str, Finding]) -> Problem:
    """The problem with the place of the value that should change, where somebody wrote one."""
    finding = chosen.get(problem.pointer.strip("/").replace("/", "."))
    if finding is None or finding.file is None:
        return problem
    return msgspec.structs.replace(problem, file=finding.file, line=finding.line, column=finding.column)
