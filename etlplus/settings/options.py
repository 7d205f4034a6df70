"""
The options as a list: the schema, walked once, with everything a message, a page or a check wants to say about each.
"""

from __future__ import annotations

from functools import cache
from typing import Any, get_args, get_type_hints

import msgspec

from etlplus.settings.schema import SECRETS, Section, Settings


class Option(msgspec.Struct, frozen=True):
    """One option, as it was declared."""

    path: tuple[str, ...]
    default: Any
    annotation: Any
    sentence: str
    unit: str
    accepts: str
    secret: bool

    @property
    def key(self) -> str:
        """Its dotted name, as in ``monitoring.websocket.port``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "ETLPLUS_" + "__".join(part.upper() for part in self.path)

    @property
    def pointer(self) -> str:
        """Its place as an RFC 6901 JSON pointer."""
        return "/" + "/".join(self.path)


@cache
def options() -> tuple[Option, ...]:
    """Every option, in the order of the schema."""
    return tuple(_walk(Settings, ()))


@cache
def sections() -> frozenset[tuple[str, ...]]:
    """The path of every section; the whole is the empty path."""
    return frozenset(option.path[:depth] for option in options() for depth in range(len(option.path)))


def _walk(section: type[Section], path: tuple[str, ...]) -> list[Option]:
    hints = get_type_hints(section, include_extras=True)
    found: list[Option] = []
    for field in msgspec.structs.fields(section):
        kind, here = hints[field.name], (*path, field.name)
        if isinstance(kind, type) and issubclass(kind, Section):
            found += _walk(kind, here)
        else:
            found.append(_option(here, kind, field.default))
    return found


def _option(path: tuple[str, ...], annotation: Any, default: Any) -> Option:
    kind, meta = get_args(annotation)
    extra: dict[str, str] = meta.extra or {}
    return Option(
        path=path,
        default=default,
        annotation=annotation,
        sentence=meta.description or "",
        unit=extra.get("unit", ""),
        accepts=extra.get("accepts") or _accepts(kind, meta),
        secret=path[-1] in SECRETS,
    )


def _accepts(kind: Any, meta: msgspec.Meta) -> str:
    """What would be taken, in words: kinds first, then bounds."""
    choices = get_args(kind)
    if choices:
        return "one of " + ", ".join(map(str, choices))
    if kind is str:
        return "a text" if meta.min_length is None else "a text that is not empty"
    word = "a whole number" if kind is int else "a number"
    low = f"from {meta.ge}" if meta.ge is not None else f"above {meta.gt}"
    return f"{word} {low} to {meta.le}"
