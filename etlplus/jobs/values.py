"""
Values as JSON has them, from programs that may hand over anything: what cannot be kept, or would come back as something else.
"""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec

from etlplus.jobs.refusal import Refusal
from etlplus.jobs.texts import escaped

DEPTH_MAX = 100
"""Of lists and objects in each other: what is read by several programs must not depend on the stack that each has left."""
TOO_DEEP = "too_deep"
BYTES = (bytes, bytearray, memoryview)
"""What msgspec would make texts of, unless told to leave it as it is."""
WHOLE_MIN, WHOLE_MAX = -(2**63), 2**64 - 1
"""Whole numbers beyond 64 bits are read by some programs only, and by others as something near."""


def flaw(value: Any, *, levels: int = DEPTH_MAX, takes_nul: bool = True) -> Refusal | None:
    """
    The first part of a value that cannot be kept, with its place in the value; None if there is none. What is nested too deeply,
    or holds itself, is that as a whole.

    Args:
        levels: So many lists and objects may stand in each other.
        takes_nul: Whether texts may contain NUL.
    """
    if isinstance(value, str):
        return _flaw_of_text(value, takes_nul)
    if value is None or isinstance(value, (bool, int, float)):
        return _flaw_of_number(value)
    if not isinstance(value, (dict, list, tuple)):
        return _not_json(f"this is of the type {type(value).__name__}, which JSON does not have")
    if levels == 0:
        return Refusal("this is nested too deeply", "", TOO_DEEP, f"at most {DEPTH_MAX} levels")
    is_object = isinstance(value, dict)
    parts = cast("Any", value).items() if is_object else enumerate(cast("Any", value))
    for name, part in parts:
        if is_object and (found := _flaw_of_name(name, takes_nul)):
            return found
        if found := flaw(part, levels=levels - 1, takes_nul=takes_nul):
            return found if found.code == TOO_DEEP else _within(found, name)
    return None


def _within(found: Refusal, name: str | int) -> Refusal:
    return msgspec.structs.replace(found, pointer=f"/{escaped(str(name))}{found.pointer}")


def _flaw_of_text(text: str, takes_nul: bool) -> Refusal | None:
    if not takes_nul and "\0" in text:
        return Refusal("there is a NUL character in this text", "", "bad_text", "any other characters")
    if text.isascii() or text == text.encode(errors="replace").decode():
        return None
    return Refusal("there is half of a surrogate pair in this text", "", "bad_text", "characters that can be encoded")


def _flaw_of_number(number: float | None) -> Refusal | None:
    if isinstance(number, float) and not math.isfinite(number):
        return Refusal(f"{number} is no number of JSON", "", "bad_number", "a finite number")
    if isinstance(number, int) and not WHOLE_MIN <= number <= WHOLE_MAX:
        return Refusal("this number is too large", "", "bad_number", "a whole number within 64 bits")
    return None


def _flaw_of_name(name: Any, takes_nul: bool) -> Refusal | None:
    """What is wrong with a name in an object; its place is that of the object."""
    if isinstance(name, str):
        return _flaw_of_text(name, takes_nul)
    return _not_json(f"a name in this object is of the type {type(name).__name__}")


def _not_json(message: str) -> Refusal:
    return Refusal(
        message, "", "not_json", "null, true, false, numbers, texts, lists, and objects whose names are texts"
    )
