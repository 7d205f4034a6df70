"""The names for programs: all of them in one place, which the page lists and the examples use."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

import etlplus

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PUBLIC = {"etlplus", "etlplus.settings", "etlplus.runtime", "etlplus.runtime.testing"}
NAMES = sorted({*etlplus.__all__} - {"__version__"})


def programs() -> list[ast.Module]:
    return [ast.parse(text) for page in PAGES for text in PROGRAM.findall(page.read_text("utf-8"))]


def used(program: ast.Module) -> set[tuple[str, str]]:
    """What a program takes from which of our modules."""
    found: set[tuple[str, str]] = set()
    for node in ast.walk(program):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "etlplus":
            found |= {(node.module or "", alias.name) for alias in node.names}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "etlplus":
            found.add(("etlplus", node.attr))
    return found


def test_the_examples_take_all_they_need_from_public_places() -> None:
    """Nobody who follows them depends on where a thing stands in the house."""
    taken = {each for program in programs() for each in used(program)}
    assert ("etlplus", "RunWish") in taken
    assert {module for module, _ in taken} <= PUBLIC
    missing = [(module, name) for module, name in taken if not hasattr(import_module(module), name)]
    assert missing == []
    assert {name for module, name in taken if module == "etlplus"} <= {*etlplus.__all__}


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_keeps_its_own_name(name: str) -> None:
    """Looked up in the package, or as an attribute; what it is called where it is defined is what it is called here."""
    assert getattr(etlplus, name).__name__ == name
    assert name in dir(etlplus)


def test_the_page_lists_each_name_once() -> None:
    """Who looks for a name finds what it is for."""
    page = (ROOT / "docs" / "functions.md").read_text("utf-8")
    rows = [line for line in page.partition("## Names for programs")[2].splitlines() if line.startswith("| ")]
    assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == NAMES


def test_what_type_checkers_see_is_what_programs_get() -> None:
    """The imports that only type checkers follow name the same rooms."""
    tree = ast.parse(Path(str(etlplus.__file__)).read_text("utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(seen) == NAMES
    assert {name: getattr(import_module(module or ""), name) for name, module in seen.items()} == {
        name: getattr(etlplus, name) for name in NAMES
    }


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    """As any module would, and with a hint."""
    with pytest.raises(AttributeError, match=r"no attribute 'RunWhish'; it offers .*RunWish"):
        etlplus.RunWhish  # pyright: ignore[reportAttributeAccessIssue] # noqa: B018
