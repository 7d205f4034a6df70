"""
What msgspec says of a document that does not fit its type, told as a problem: where exactly, and what would be accepted.

Works for any type whose JSON Schema msgspec can write. Called by whoever reads documents that people write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, cast

import msgspec

from etlplus.errors import Problem

Schema = dict[str, Any]

_AT = re.compile(r"^(?P<said>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|(\[\.\.\.\])|\.(\w+)")
_KEY = re.compile(r"unknown field `(?P<key>[^`]+)`")
_VALUE = re.compile(r"^Invalid (?:enum )?value (?P<value>'.*'|-?\d+)$", re.DOTALL)


def problem_of(error: msgspec.ValidationError, value: object, kind: type) -> Problem:
    """
    The sentence of msgspec with a pointer into the document, and for a wrong key or choice what would be right.

    Args:
        error: What ``msgspec.convert(value, kind)`` raised.
        value: The document as plain data.
        kind: The type that it does not fit.
    """
    said, root = str(error), msgspec.json.schema(kind)
    found = _AT.match(said)
    message, path = (found["said"], found["path"] or "") if found else (said, "")
    if found and found["key"]:  # it is the name of an entry that is wrong
        parts = _walked(said, f"{path}[...]", value, kind)
        schemas = [each.get("propertyNames", {}) for each in _below(root, parts[:-1])]
    else:
        parts = _walked(said, path, value, kind)
        schemas = _below(root, parts)
    pointer = "".join(f"/{part}" for part in parts)
    if key := _KEY.search(message):
        keys = sorted({name for each in schemas for name in each.get("properties", {})})
        return Problem(
            message, f"{pointer}/{key['key']}", "unknown_key", suggestion=offer("accepted:", key["key"], keys)
        )
    if wrong := _VALUE.match(message):
        values = sorted({str(each) for schema in schemas for each in schema.get("enum", ())})
        return Problem(message, pointer, suggestion=offer("accepted:", wrong["value"].strip("'"), values))
    described = (each["description"] for each in schemas if "pattern" in each and "description" in each)
    return Problem(message, pointer, suggestion=next(described, None))


def offer(otherwise: str, word: str, known: Sequence[str]) -> str | None:
    """The known word that somebody may have meant, or all of them after ``otherwise``; None if there are none."""
    if near := get_close_matches(word, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"{otherwise} {', '.join(known)}" if known else None


def _walked(said: str, path: str, value: object, kind: type) -> list[str]:
    """The parts of a msgspec path. Where msgspec writes ``[...]`` for any key, the key that it complains of is found."""
    parts: list[str] = []
    at: Any = value
    for index, any_key, name in _STEP.findall(path):
        part = _culprit(said, parts, at, value, kind) if any_key else index or name
        if part is None:
            break
        parts.append(part)
        try:
            at = at[int(index) if index else part]
        except (KeyError, IndexError, TypeError):
            break
    return parts


def _culprit(said: str, parts: list[str], mapping: Any, value: object, kind: type) -> str | None:
    """The key of a mapping that msgspec complains of: with it alone, it says the same."""
    entries = cast("dict[str, Any]", mapping) if isinstance(mapping, dict) else {}
    for key, entry in entries.items():
        try:
            msgspec.convert(_replaced(value, parts, {key: entry}), kind)
        except msgspec.ValidationError as error:
            if str(error) == said:
                return str(key)
    return None


def _replaced(value: Any, parts: list[str], inner: object) -> object:
    """The document with something else at a place."""
    if not parts:
        return inner
    first, *rest = parts
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [_replaced(each, rest, inner) if str(at) == first else each for at, each in enumerate(items)]
    return value | {first: _replaced(value[first], rest, inner)}


def _below(root: Schema, parts: Iterable[str]) -> list[Schema]:
    """The schemas that may hold at a place of the document."""
    schemas = [*_alternatives(root, root)]
    for part in parts:
        inner = [each for schema in schemas for each in _inside(schema, part)]
        schemas = [each for schema in inner for each in _alternatives(schema, root)]
    return schemas


def _alternatives(schema: Schema, root: Schema) -> Iterator[Schema]:
    """A schema itself, or what it refers to or chooses from."""
    if "$ref" in schema:
        yield from _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _alternatives(each, root)
    else:
        yield schema


def _inside(schema: Schema, part: str) -> Iterator[Schema]:
    """What a schema says of one of its parts."""
    for found in (schema.get("properties", {}).get(part), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(found, dict):
            yield cast("Schema", found)
