"""
Where each key of a TOML document stands, since the standard library's parser does not tell.

Reads only documents that the parser has already accepted, and only as much of the grammar as positions need.
"""

from __future__ import annotations

import re

_PART = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"^\s*\[\[?\s*({_DOTTED})\s*\]\]?")
_ENTRY = re.compile(rf"^\s*({_DOTTED})\s*=\s*")


def positions(text: str) -> dict[tuple[str, ...], tuple[int, int]]:
    """Line and column, from 1, of every table and key; the first place counts where a name comes twice."""
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    table: tuple[str, ...] = ()
    closing: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if closing is not None:  # inside a multi-line string: its lines are no keys
            closing = None if closing in line else closing
            continue
        if header := _HEADER.match(line):
            table = _parts(header[1])
            _note(found, (), table, (number, header.start(1) + 1))
        elif entry := _ENTRY.match(line):
            _note(found, table, _parts(entry[1]), (number, entry.start(1) + 1))
            closing = _opens(line[entry.end() :])
    return found


def _note(
    found: dict[tuple[str, ...], tuple[int, int]], table: tuple[str, ...], key: tuple[str, ...], place: tuple[int, int]
) -> None:
    """A dotted key also places the tables it passes through."""
    for depth in range(1, len(key) + 1):
        found.setdefault((*table, *key[:depth]), place)


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_PART, dotted))


def _opens(value: str) -> str | None:
    """The quotes that end the multi-line string which this value begins and does not end."""
    for quotes in ('"""', "'''"):
        if value.startswith(quotes) and quotes not in value[3:]:
            return quotes
    return None
