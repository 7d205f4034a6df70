"""What the repository says about itself is true: its map, its catalog, its options, and nothing of the place it was made."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from etlplus.settings import reference
from etlplus.settings.options import options
from etlplus.telemetry import EVENTS, METRICS, catalog

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "etlplus"


def tracked() -> list[Path]:
    """Files that belong to the project; in a folder that is no repository, those of the package and around it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_the_map_in_the_readme_shows_exactly_the_rooms_there_are():
    """A newcomer who walks by the map finds every room, and no room that is not on it."""
    text = (ROOT / "README.md").read_text("utf-8")
    shown = set(re.findall(r"^[├└]─ ([a-z_]+)(?:/|\.py)", text, re.MULTILINE))
    rooms = {file.stem for file in PACKAGE.iterdir() if file.suffix == ".py" or (file / "__init__.py").exists()}
    assert shown == rooms - {"__init__", "__main__"}


def test_the_reference_of_options_is_current():
    """The page is written from the declarations, and was written again when they changed."""
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == reference.page()


def test_every_option_is_read_by_somebody():
    """An option that changes nothing is a lie to the operator."""
    used = {
        node.attr
        for file in PACKAGE.rglob("*.py")
        if "settings" not in file.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
    }
    assert [option.key for option in options() if option.path[-1] not in used] == []


def test_every_metric_in_the_catalog_is_read():
    """The catalog lists what is exported, no more."""
    by_metric = {value: name for name, value in vars(catalog).items() if value in METRICS and name.isupper()}
    code = "\n".join(
        file.read_text("utf-8") for file in PACKAGE.rglob("*.py") if "telemetry" not in file.relative_to(PACKAGE).parts
    )
    assert [metric.name for metric in METRICS if not re.search(rf"\b{by_metric[metric]}\b", code)] == []


def logged() -> set[str]:
    """The event names that the code logs: string constants in the first argument of ``log.level(…)``."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    found: set[str] = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels:
                speaker = node.func.value
                if isinstance(speaker, ast.Name) and speaker.id in {"log", "logger"} and node.args:
                    first = node.args[0]
                    names = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
                    found |= {str(name.value) for name in names if isinstance(name, ast.Constant)}
    return found


def test_the_catalog_of_events_is_complete():
    """Every event that is logged has a meaning, and every meaning belongs to an event that is logged."""
    assert logged() == EVENTS.keys()


def test_no_file_names_the_machine_it_was_made_on():
    """Paths of one machine and hosts of one registry work nowhere else."""
    machine = re.compile("|".join([r"/" + r"work/", r"/" + r"root/", r"/opt/" + r"(pypi|wheels)", r"index-" + r"url"]))
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked()
        if file.suffix not in {".png", ".parquet", ".zip"}
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if machine.search(line)
    ]
    assert found == []


def test_the_pins_hold_names_and_versions_only():
    """A pin file with addresses would send everybody to one registry."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; .+)?", line)] == []


def test_both_interpreters_are_pinned():
    """quart and quart-trio differ between 3.12 and 3.13; the pins say which goes where."""
    text = (ROOT / "constraints.txt").read_text("utf-8")
    for name in ("quart", "quart-trio"):
        assert len(re.findall(rf"^{name}==", text, re.MULTILINE)) == 2


def test_every_make_target_of_the_readme_exists():
    """Nobody is sent to a target that is not there."""
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", (ROOT / "README.md").read_text("utf-8"))) <= made


def functions_in(file: Path) -> set[str]:
    """The names of all functions in a file, tests among them."""
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_every_test_that_a_page_names_exists():
    """A promise that names a test which was renamed or deleted has none any more."""
    missing: list[str] = []
    for page in [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]:
        for file, test in re.findall(r"`(tests/[\w/.]+)(?:::(\w+))?`", page.read_text("utf-8")):
            known = (ROOT / file).exists() and (not test or test in functions_in(ROOT / file))
            missing += [] if known else [f"{page.name}: {file}::{test}"]
    assert missing == []


def test_every_guarantee_names_its_test():
    """Each line of each table says what fails, what holds then, and which test would fail without it."""
    text = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| What fails |")]
    assert len(lines) > 50
    named = r"`tests/[\w/]+\.py::test_\w+`"
    assert [line for line in lines if not re.fullmatch(rf"\| .+ \| .+ \| {named}(, {named})* \|", line)] == []


def test_every_promise_names_its_test():
    """What is promised in general is proved like what holds when something fails; only what is not promised needs no proof."""
    promised = (ROOT / "docs" / "semantics.md").read_text("utf-8").partition("\n## Not promised\n")[0]
    promises = re.findall(r"^- .*?(?=^- |^## |\Z)", promised, re.MULTILINE | re.DOTALL)
    assert len(promises) > 15
    assert [promise for promise in promises if not re.search(r"`tests/[\w/]+\.py::test_\w+`", promise)] == []
