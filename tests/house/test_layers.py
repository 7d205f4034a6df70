"""The laws of the house that its code must keep: who may import what, and how small things stay."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "etlplus"
MODULES = sorted(PACKAGE.rglob("*.py"))

LINES_MAX = 60
LONG_FUNCTIONS: dict[str, str] = {}
"""Functions longer than LINES_MAX, as ``path:name``, each with the reason why it is one thought."""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def imports(file: Path) -> Iterator[str]:
    """Every module a file imports, wherever in the file; relative ones are made absolute."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(file.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            yield ".".join(filter(None, [base, node.module]))


def outside(file: Path, room: str, allowed: frozenset[str]) -> list[str]:
    """What a file imports beyond its own room, the standard library and the allowed packages."""
    return [
        name
        for name in imports(file)
        if not (name == f"etlplus.{room}" or name.startswith(f"etlplus.{room}."))
        and name.partition(".")[0] not in sys.stdlib_module_names | allowed
    ]


@pytest.mark.parametrize(
    ("room", "allowed"), [("runtime", frozenset({"trio", "msgspec", "outcome"})), ("jobs", frozenset({"msgspec"}))]
)
def test_a_foundation_stands_on_little(room, allowed):
    """runtime imports Trio (and what Trio hands out), msgspec and the standard library; jobs not even Trio."""
    found = {name_of(file): extra for file in (PACKAGE / room).rglob("*.py") if (extra := outside(file, room, allowed))}
    assert found == {}


def test_asyncio_lives_in_the_postgresql_bridge_alone():
    """Nobody else meets a second event loop."""
    guests = {"asyncio", "trio_asyncio", "asyncpg"}
    found = [name_of(file) for file in MODULES if guests & {name.partition(".")[0] for name in imports(file)}]
    assert [name for name in found if not name.startswith("etlplus/store/postgres/")] == []


@pytest.mark.parametrize("module", ["etlplus.app", "etlplus.web", "etlplus.client", "etlplus.cli"])
def test_the_daemon_never_loads_an_engine_of_data(module):
    """duckdb, pyarrow and sqlglot are for the engine's child; a daemon with them would hold rows and megabytes."""
    probe = f"import sys, {module}; print(*({{'duckdb', 'pyarrow', 'sqlglot', 'pgpq'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "\n"


def test_importing_the_package_loads_nothing_else():
    """The price of ``import etlplus.runtime`` is the runtime's own."""
    probe = "import sys, etlplus; print(*[name for name in sys.modules if name.startswith('etlplus.')])"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout == "\n"


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name_of(file)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_long_functions_are_listed_with_a_reason():
    """A function that outgrows a screen is either split or defended; the list holds no function that shrank."""
    long = {name for file in MODULES for name, lines in functions(file) if lines > LINES_MAX}
    assert long == LONG_FUNCTIONS.keys()


def test_every_module_says_what_it_is_for():
    """A reader who opens a file meets a sentence first."""
    assert [name_of(file) for file in MODULES if not ast.get_docstring(ast.parse(file.read_text("utf-8")))] == []


def test_names_say_a_responsibility():
    """No room or file is called after nothing in particular."""
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
    assert [name_of(file) for file in MODULES if empty & set(file.relative_to(PACKAGE).with_suffix("").parts)] == []


def test_every_ignored_judgment_has_a_reason():
    """A suppressed warning says why on the same line or in the sentence above it."""
    bare = re.compile(r"#\s*(?:type: ignore|pyright: ignore|noqa)\b(?:\[[^\]]*\]|: ?[A-Z0-9, ]+)?\s*$")
    found = [
        f"{name_of(file)}:{number}"
        for file in MODULES
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if bare.search(line)
    ]
    assert found == []
