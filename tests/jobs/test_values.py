"""Which values can be kept, and where the first one stands that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from etlplus.jobs.values import DEPTH_MAX, WHOLE_MAX, WHOLE_MIN, flaw


def nested(levels: int) -> Any:
    """A text in so many lists and objects."""
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def ring() -> Any:
    """An object that holds itself."""
    value: dict[str, Any] = {"b": 1}
    value["a"] = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, 0, WHOLE_MIN, WHOLE_MAX, -1.5, "", "x\0é\U0001f600", [], {}, {"a": [1, (2,)]}, nested(DEPTH_MAX)],
)
def test_what_json_has_is_kept(value: Any) -> None:
    """Up to the bounds, each included."""
    assert flaw(value) is None


@pytest.mark.parametrize(
    ("value", "pointer", "code"),
    [
        ({"a": [1, float("nan")]}, "/a/1", "bad_number"),
        ({"a": float("-inf")}, "/a", "bad_number"),
        ([WHOLE_MAX + 1], "/0", "bad_number"),
        ({"a": WHOLE_MIN - 1}, "/a", "bad_number"),
        ({"a": 10**5000}, "/a", "bad_number"),
        ({"a/b": {"~": "\ud800"}}, "/a~1b/~0", "bad_text"),
        ({"a": {"\udfff": 1}}, "/a", "bad_text"),
        ({"a": b"x"}, "/a", "not_json"),
        ({"a": {1}}, "/a", "not_json"),
        ({"a": {1: "x"}}, "/a", "not_json"),
        ({"a": {None: "x"}}, "/a", "not_json"),
        (nested(DEPTH_MAX + 1), "", "too_deep"),
        (ring(), "", "too_deep"),
    ],
)
def test_what_cannot_be_kept_is_told_with_its_place(value: Any, pointer: str, code: str) -> None:
    """With what would be accepted; what is nested too deeply is that as a whole."""
    found = flaw(value)
    assert found is not None
    assert (found.pointer, found.code) == (pointer, code)
    assert found.accepted


def test_nul_is_a_character_like_others_unless_told() -> None:
    """In texts and in names."""
    for value, pointer in (("\0", ""), ({"a": ["x\0"]}, "/a/0"), ({"\0": 1}, "")):
        assert flaw(value) is None
        found = flaw(value, takes_nul=False)
        assert found is not None
        assert (found.pointer, found.code) == (pointer, "bad_text")
