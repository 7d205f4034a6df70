"""The forms of texts: none lets a line break through that stands behind the end, and all can be read by other programs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from etlplus.jobs.kinds import FunctionName
from etlplus.jobs.names import Label, Name
from etlplus.pipeline.plan import Name as StepName

ROOT = Path(__file__).parents[2] / "etlplus"
END = r"$(?!\n)"


def patterns() -> Iterator[tuple[str, str]]:
    """Each pattern of a type, and the file that it stands in."""
    for file in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "pattern" and isinstance(node.value, ast.Constant):
                yield file.name, str(node.value.value)


def test_each_end_is_the_end() -> None:
    """A bare ``$`` also matches in front of a last line break; ``\\Z`` is not understood by other readers of a schema."""
    found = [*patterns()]
    assert len(found) > 10
    assert [each for each in found if "$" in each[1].replace(END, "") or r"\Z" in each[1]] == []


@pytest.mark.parametrize("kind", [Name, Label, FunctionName, StepName])
def test_a_name_does_not_end_with_a_line_break(kind: object) -> None:
    """It would look like another one that is there."""
    assert msgspec.convert("nightly", kind) == "nightly"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("nightly\n", kind)
    assert re.search(END, "a\n") is not None  # the end of the text itself
