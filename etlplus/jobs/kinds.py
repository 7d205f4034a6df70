"""
What a job does: load data by a pipeline, call a function of the program, or run a command.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from etlplus.jobs.names import Folder

Kind = Literal["pipeline", "python", "command"]

FunctionName = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=80,
        pattern=r"^[A-Za-z0-9_.:-]+$(?!\n)",
        description="1 to 80 characters: letters, digits, _ . : -",
    ),
]
"""The name under which a program offers a function; see ``etlplus.job``."""

CALLS = "!python="
"""Begins the label of a worker that offers a function, and of the runs that call it. People's labels do not begin so."""


HANDED_CHARS_MAX = 100_000
"""Of an argument, and of the value of a variable: no system hands a program much more at a time."""

Argument = Annotated[str, msgspec.Meta(min_length=1, max_length=HANDED_CHARS_MAX)]
"""The program, or what it is handed."""

Value = Annotated[str, msgspec.Meta(max_length=HANDED_CHARS_MAX)]
"""The value of a variable in an environment."""

Variable = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^=\x00]*$(?!\n)",
        description="1 to 200 characters, none of them = or NUL",
    ),
]
"""The name of a variable in an environment."""


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program that is run for the job, without a shell.

    ``argv`` is the program and its arguments. Its environment is ``env`` beside what every program needs (PATH, HOME, LANG)
    and what the run is: ETLPLUS_RUN_ID, ETLPLUS_ATTEMPT, and ETLPLUS_PARAMS as JSON. It works in ``cwd``, from the job's
    ``base_dir`` on. It succeeds by ending with status 0. To stop it, its whole process group gets SIGTERM, and after
    ``stop_grace_s`` seconds SIGKILL.
    """

    argv: Annotated[tuple[Argument, ...], msgspec.Meta(min_length=1, max_length=1000)]
    env: Annotated[dict[Variable, Value], msgspec.Meta(max_length=1000)] = {}
    cwd: Folder = "."
    stop_grace_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 10.0


def kind_of(pipeline: object, python: object, command: object) -> Kind:
    """
    Which of the three a job is.

    Raises:
        ValueError: none or several are given.
    """
    given: list[Kind] = []
    if pipeline is not None:
        given.append("pipeline")
    if python is not None:
        given.append("python")
    if command is not None:
        given.append("command")
    if len(given) != 1:
        raise ValueError(f"a job has one of pipeline, python and command; this one has {' and '.join(given) or 'none'}")
    return given[0]


def calls_function(labels: Iterable[str]) -> bool:
    """Whether a run that asks for these labels calls a function of the program."""
    return any(label.startswith(CALLS) for label in labels)
