"""Editing the parameters of a dead letter."""

from __future__ import annotations

from typing import Any

import pytest

from etlplus.jobs.letters import merged


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_an_edit_merges_as_the_rfc_has_it(before: dict[str, Any], edit: dict[str, Any], after: dict[str, Any]) -> None:
    """The examples of RFC 7396 that are about objects; what was there before is not changed in place."""
    kept = repr(before)
    assert merged(before, edit) == after
    assert repr(before) == kept
