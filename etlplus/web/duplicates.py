"""
Names that stand twice in one object of a JSON body, which most readers pass over: the last one wins, and nobody is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from etlplus.errors import Problem


def duplicate_names(data: str | bytes) -> list[Problem]:
    """A problem for each name that is given twice, with the place of the second; ``data`` is JSON."""
    twice: dict[int, list[str]] = {}
    kept: list[dict[str, Any]] = []

    def read(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            names = [name for name, _ in pairs]
            twice[id(content)] = [name for name in content if names.count(name) > 1]
            kept.append(content)  # so that its id stays its own
        return content

    tree = json.loads(data, object_pairs_hook=read, parse_int=len, parse_float=len)  # numbers do not matter here
    return list(_placed(tree, "", twice)) if twice else []


def _placed(value: Any, pointer: str, twice: dict[int, list[str]]) -> Iterator[Problem]:
    if isinstance(value, dict):
        for name in twice.get(id(cast("object", value)), ()):
            yield Problem(
                f"{name!r} is given twice", f"{pointer}/{name}", "duplicate_name", suggestion="each name once"
            )
        for name, inner in cast("dict[str, Any]", value).items():
            yield from _placed(inner, f"{pointer}/{name}", twice)
    elif isinstance(value, list):
        for number, inner in enumerate(cast("list[Any]", value)):
            yield from _placed(inner, f"{pointer}/{number}", twice)
