"""
Where values come from: a TOML file, the environment, flags. Each yields what it found, with the place it was found in.

A source decides nothing about values: it maps what people wrote to keys of the schema, and says which of it is no key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

import msgspec

from etlplus.errors import Problem
from etlplus.settings.options import Option, options, sections
from etlplus.settings.places import broken, positions

PREFIX = "ETLPLUS_"
OTHER_VARIABLES = frozenset({"ETLPLUS_CONFIG", "ETLPLUS_PASSWORD", "ETLPLUS_TOKEN", "ETLPLUS_URL"})
"""Variables with our prefix that choose the file or speak to the client, and are no options."""


class Finding(msgspec.Struct, frozen=True):
    """A value somebody gave for an option. ``origin`` says who, ``text`` whether it must be read out of a string."""

    option: Option
    value: Any
    origin: str
    text: bool = False
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def problem(self, message: str, suggestion: str) -> Problem:
        """A problem at this very place."""
        if self.file is None:
            message = f"{message} (from {self.origin})"
        return Problem(
            message,
            pointer=self.option.pointer,
            file=self.file,
            line=self.line,
            column=self.column,
            suggestion=suggestion,
        )


Found = Finding | Problem


def from_file(file: Path) -> Iterator[Found]:
    """The findings of a TOML file; each problem carries line and column."""
    text = ""
    try:
        text = file.read_text("utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        yield Problem(f"cannot be read: {error.strerror}", file=str(file), suggestion="name a TOML file that exists")
    except UnicodeDecodeError as error:
        yield Problem(f"is not UTF-8 (byte {error.start})", file=str(file), suggestion="save it as UTF-8")
    except ValueError as error:
        yield broken(file, error, text)
    else:
        yield from _from_table(document, (), str(file), positions(text))


def _from_table(
    table: dict[str, Any], path: tuple[str, ...], file: str, places: Mapping[tuple[str, ...], tuple[int, int]]
) -> Iterator[Found]:
    known = {option.path: option for option in options()}
    for name, value in table.items():
        here = (*path, name)
        line, column = places.get(here, (None, None))
        if here in known:
            yield Finding(known[here], value, f"{file}:{line}", file=file, line=line, column=column)
        elif here in sections() and isinstance(value, dict):
            yield from _from_table(cast("dict[str, Any]", value), here, file, places)
        else:
            yield Problem(
                f"{'.'.join(here)} is a section and takes keys"
                if here in sections()
                else f"unknown key {'.'.join(here)}",
                pointer="/" + "/".join(here),
                code="unknown_key",
                file=file,
                line=line,
                column=column,
                suggestion=_nearest(".".join(here), [option.key for option in options()]),
            )


def from_environment(environ: Mapping[str, str]) -> Iterator[Found]:
    """The findings of the environment: plain PORT first, since the name with our prefix is more precise."""
    by_variable = {option.variable: option for option in options()}
    if "PORT" in environ:
        yield Finding(by_variable["ETLPLUS_SERVER__PORT"], environ["PORT"], "PORT", text=True)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        secret = by_variable.get(name.removesuffix("_FILE"))
        if name in by_variable:
            yield Finding(by_variable[name], environ[name], name, text=True)
        elif secret is not None and secret.secret:
            yield _from_secret_file(secret, name, Path(environ[name]))
        else:
            yield Problem(
                f"unknown variable {name}",
                code="unknown_key",
                suggestion=_nearest(name, [*by_variable, *OTHER_VARIABLES]),
            )


def _from_secret_file(option: Option, name: str, file: Path) -> Found:
    try:
        return Finding(option, file.read_text("utf-8").rstrip("\r\n"), name, text=True)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return Problem(
            f"{name} names {file}, which cannot be read: {why}",
            pointer=option.pointer,
            suggestion=f"a readable file that holds {option.key}",
        )


def from_flags(flags: Mapping[str, Any]) -> Iterator[Found]:
    """The findings of flags: dotted keys to values; None means that the flag was not given."""
    known = {option.key: option for option in options()}
    for key, value in flags.items():
        if value is None:
            continue
        if key in known:
            yield Finding(known[key], value, f"--set {key}", text=isinstance(value, str))
        else:
            yield Problem(f"unknown key {key} (from --set)", code="unknown_key", suggestion=_nearest(key, list(known)))


def _nearest(word: str, words: list[str]) -> str:
    """Did you mean: the most similar name by the whole, else by its last part, else where to look."""
    near = get_close_matches(word, words, n=1, cutoff=0.75)
    if not near:
        last = {name.rpartition(".")[2]: name for name in words}
        near = [last[part] for part in get_close_matches(word.rpartition(".")[2], list(last), n=1, cutoff=0.7)]
    return f"did you mean {near[0]}?" if near else "`etlplus config show` lists every key"
