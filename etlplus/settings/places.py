"""
Where each key and each element of a TOML document stands, since the standard library's parser does not tell.

Reads only documents that the parser has already accepted, so it looks for what ends a value and judges nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

from etlplus.errors import Problem

Keys = tuple[str, ...]

_LONG = re.compile(r"[0-9_]{4301,}")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*""")
_SCALAR = re.compile(
    r'"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}' r"|'{3}(?:[^']|'{1,2}(?!'))*'{3,5}"
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s,\]}#][^,\]}#\n]*""",
    re.DOTALL,
)  # fmt: skip


def positions(text: str) -> dict[Keys, tuple[int, int]]:
    """Line and column, from 1, of every table, key and element; elements are named by their number, from 0. The first place
    counts where a name comes twice.
    """
    return _Reader(text).read()


def broken(file: Path, error: ValueError, text: str) -> Problem:
    """What the parser says of a document that it refuses, with the place that stands in its sentence. It stops without one at a
    number that has more digits than Python reads.
    """
    if not isinstance(error, tomllib.TOMLDecodeError):
        return _too_long(file, text)
    message = str(error)
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line, column = (int(part) if part else None for part in place.groups()) if place else (None, None)
    plain = message[: place.start()] if place and line else message
    return Problem(f"is not TOML: {plain}", code="syntax", file=str(file), line=line, column=column)


def _too_long(file: Path, text: str) -> Problem:
    found = _LONG.search(text)
    at = found.start() if found else 0
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return Problem("this is no whole number that can be read", "", "syntax", str(file), line, column)


class _Reader:
    """One walk over a document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[Keys, tuple[int, int]] = {}
        self._last: dict[Keys, int] = {}  # of each array of tables, the number of its last element

    def read(self) -> dict[Keys, tuple[int, int]]:
        table: Keys = ()
        while self._look():
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._entry(table)
        return self._found

    def _header(self) -> Keys:
        doubled = self._text.startswith("[[", self._at)
        self._at += 2 if doubled else 1
        begin, parts = self._key()
        path: list[str] = []
        for depth, part in enumerate(parts, 1):
            path.append(part)
            self._note((*path,), begin)
            if doubled and depth == len(parts):
                self._last[*path,] = self._last.get((*path,), -1) + 1
            if (number := self._last.get((*path,))) is not None:
                path.append(str(number))
                self._note((*path,), begin)
        self._at += 2 if doubled else 1
        return (*path,)

    def _entry(self, table: Keys) -> None:
        begin, parts = self._key()
        for depth in range(1, len(parts) + 1):  # a dotted key also places the tables it passes through
            self._note((*table, *parts[:depth]), begin)
        self._at += 1  # the equals sign
        self._value((*table, *parts))

    def _key(self) -> tuple[int, Keys]:
        self._look()
        begin = self._at
        parts: list[str] = []
        while part := _PART.match(self._text, self._at):
            parts.append(part[1].strip("\"'"))
            self._at = part.end()
            if not self._text.startswith(".", self._at):
                break
            self._at += 1
        return begin, tuple(parts)

    def _value(self, path: Keys) -> None:
        self._look()
        self._note(path, self._at)
        match self._text[self._at]:
            case "[":
                self._inside("]", lambda number: self._value((*path, str(number))))
            case "{":
                self._inside("}", lambda number: self._entry(path))
            case _:
                scalar = _SCALAR.match(self._text, self._at)
                assert scalar is not None  # the parser has accepted a value here
                self._at = scalar.end()

    def _inside(self, closing: str, read: Callable[[int], None]) -> None:
        self._at += 1
        number = 0
        while self._look() and not self._text.startswith(closing, self._at):
            if self._text.startswith(",", self._at):
                self._at += 1
                continue
            read(number)
            number += 1
        self._at += 1

    def _look(self) -> bool:
        """Go on to what is neither blank nor comment; whether there is something."""
        blank = _BLANK.match(self._text, self._at)
        assert blank is not None  # it matches nothing, too
        self._at = blank.end()
        return self._at < len(self._text)

    def _note(self, path: Keys, at: int) -> None:
        if path not in self._found:
            line_begin = self._text.rfind("\n", 0, at) + 1
            self._found[path] = (self._text.count("\n", 0, at) + 1, at - line_begin + 1)
