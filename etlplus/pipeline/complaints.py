"""
What msgspec says of a document that does not fit its type, told as a problem: where exactly, and what would be accepted.

Works for any type whose JSON Schema msgspec can write. Called by whoever reads documents that people write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, cast

import msgspec

from etlplus.errors import Problem
from etlplus.jobs.refusal import BadSchedule, Refusal
from etlplus.jobs.texts import escaped

Schema = dict[str, Any]

_AT = re.compile(r"^(?P<said>.*?)(?: - at (?P<key>`key` in )?`\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|(\[\.\.\.\])|\.(\w+)")
_KEY = re.compile(r"unknown field `(?P<key>[^`]+)`")
_VALUE = re.compile(r"^Invalid (?:enum )?value (?P<value>'.*'|-?\d+)$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<key>[^`]+)`")
_OUTSIDE = re.compile(r"^Expected `[^`]+` (?:[<>]|of length|matching)")
_LOOKED_AT_MAX = 1000
"""So many entries of a mapping are tried for the one that is meant; a larger one is named as a whole."""


def problem_of(error: msgspec.ValidationError, value: object, kind: Any) -> Problem:
    """
    The sentence of msgspec with a pointer into the document, and what would be right: the keys and choices that there are, the
    bounds of a number or a length, the form of a text.

    Args:
        error: What ``msgspec.convert(value, kind)`` raised.
        value: The document as plain data.
        kind: The type that it does not fit.
    """
    said, root = str(error), _schema_of(kind)
    found = _AT.match(said)
    message, path = (found["said"], found["path"] or "") if found else (said, "")
    if found and found["key"]:  # it is the name of an entry that is wrong
        parts = _walked(said, f"{path}[...]", value, kind)
        schemas = [each.get("propertyNames", {}) for each in _below(root, parts[:-1], value)]
    else:
        parts = _walked(said, path, value, kind)
        schemas = _below(root, parts, value)
    pointer = "".join(f"/{escaped(part)}" for part in parts)
    if isinstance(refused := error.__cause__, BadSchedule):
        return Problem(refused.message, f"{pointer}/{refused.option}", suggestion=refused.accepted)
    return _told(message, pointer, schemas)


def _schema_of(kind: Any) -> Schema:
    """Nothing where a part of the type, or a default of it, is known only to a program: then nothing more can be told."""
    try:
        return msgspec.json.schema(kind)
    except TypeError:
        return {}


def refused(refusals: Iterable[Refusal]) -> list[Problem]:
    """The same things, as the study refuses them and as people are told of them."""
    return [Problem(each.message, each.pointer, each.code, suggestion=each.accepted) for each in refusals]


def _told(message: str, pointer: str, schemas: list[Schema]) -> Problem:
    """A sentence of msgspec about a place where one of these schemas should hold."""
    if key := _KEY.search(message):
        keys = sorted({name for each in schemas for name in each.get("properties", {})})
        suggestion = offer("accepted:", key["key"], keys)
        return Problem(message, f"{pointer}/{escaped(key['key'])}", "unknown_key", suggestion=suggestion)
    if missing := _MISSING.search(message):
        return Problem(message, f"{pointer}/{escaped(missing['key'])}", "missing_key")
    if wrong := _VALUE.match(message):
        values = sorted({str(each) for schema in schemas for each in schema.get("enum", ())})
        return Problem(message, pointer, suggestion=offer("accepted:", wrong["value"].strip("'"), values))
    described = (each["description"] for each in schemas if "pattern" in each and "description" in each)
    if accepted := next(described, None):
        return Problem("this text is not accepted" if "regex" in message else message, pointer, suggestion=accepted)
    bounds = map(_bounds, schemas) if _OUTSIDE.match(message) else ()
    return Problem(message, pointer, suggestion=next(filter(None, bounds), None))


def _bounds(schema: Schema) -> str | None:
    """The bounds of a number or of a length; None if there are none."""
    above = schema.get("exclusiveMinimum")
    least = next((schema[name] for name in ("minimum", "minLength", "minItems") if name in schema), None)
    most = next((schema[name] for name in ("maximum", "maxLength", "maxItems") if name in schema), None)
    unit = {"string": " characters", "array": " items"}.get(schema.get("type", ""), "")
    if above is not None:
        return f"above {above:,}" if most is None else f"above {above:,}, at most {most:,}"
    if least is None:
        return None if most is None else f"at most {most:,}{unit}"
    return f"at least {least:,}{unit}" if most is None else f"{least:,} to {most:,}{unit}"


def offer(otherwise: str, word: str, known: Sequence[str]) -> str | None:
    """The known word that somebody may have meant, or all of them after ``otherwise``; None if there are none."""
    if near := get_close_matches(word, known, n=1):
        return f"did you mean {near[0]!r}?"
    return f"{otherwise} {', '.join(known)}" if known else None


def _walked(said: str, path: str, value: object, kind: Any) -> list[str]:
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


def _culprit(said: str, parts: list[str], mapping: Any, value: object, kind: Any) -> str | None:
    """The key of a mapping that msgspec complains of: with it alone, it says the same."""
    entries = cast("dict[str, Any]", mapping) if isinstance(mapping, dict) else {}
    for key, entry in islice(entries.items(), _LOOKED_AT_MAX):
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


def _below(root: Schema, parts: Iterable[str], value: object) -> list[Schema]:
    """The schemas that may hold at a place of the document, which is ``value``."""
    schemas, at = [*_alternatives(root, root, value)], value
    for part in parts:
        at = _entry(at, part)
        inner = [each for schema in schemas for each in _inside(schema, part)]
        schemas = [each for schema in inner for each in _alternatives(schema, root, at)]
    return schemas


def _entry(value: Any, part: str) -> object:
    """What a document has at a part; None if it has nothing there."""
    try:
        return value[int(part) if isinstance(value, list) else part]
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _alternatives(schema: Schema, root: Schema, value: object) -> Iterator[Schema]:
    """A schema itself, or what it refers to or chooses from; of those told apart by a tag, the one that ``value`` names."""
    if "$ref" in schema:
        yield from _alternatives(root["$defs"][schema["$ref"].rpartition("/")[2]], root, value)
    elif "anyOf" in schema:
        told_apart = schema.get("discriminator", {"propertyName": "", "mapping": {}})
        tag = _entry(value, told_apart["propertyName"])
        meant = told_apart["mapping"].get(tag) if isinstance(tag, str) else None
        for each in [{"$ref": meant}] if meant else schema["anyOf"]:
            yield from _alternatives(each, root, value)
    else:
        yield schema


def _inside(schema: Schema, part: str) -> Iterator[Schema]:
    """What a schema says of one of its parts."""
    for found in (schema.get("properties", {}).get(part), schema.get("items"), schema.get("additionalProperties")):
        if isinstance(found, dict):
            yield cast("Schema", found)
