"""
Texts that cannot be kept: half of a surrogate pair is no character of any encoding, and some places have no room for NUL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec


def plain(text: str) -> str:
    """The text with what cannot be kept shown as something else."""
    return text.replace("\0", "�").encode(errors="replace").decode()


def broken_at(value: Any) -> str | None:
    """Where in a value of JSON there is half of a surrogate pair, as a JSON pointer; None if nowhere."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return next((place for place, text in _texts(msgspec.to_builtins(value)) if _broken(text)), "")
    return None


def nul_at(value: Any) -> str | None:
    """Where in a value of JSON there is a NUL character, as a JSON pointer; None if nowhere."""
    return next((place for place, text in _texts(msgspec.to_builtins(value)) if "\0" in text), None)


def escaped(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _broken(text: str) -> bool:
    return text != text.encode(errors="replace").decode()


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value and where it is; a name is where its object is."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, inner in cast("dict[Any, Any]", value).items():
            yield place, str(name)
            yield from _texts(inner, f"{place}/{escaped(str(name))}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(cast("Sequence[Any]", value)):
            yield from _texts(inner, f"{place}/{number}")
