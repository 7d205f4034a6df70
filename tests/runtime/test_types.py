"""Types are tested like code: what must pass passes, and what must be refused is refused on exactly that line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ACCEPTED = ROOT / "typing_tests" / "accepted.py"
REFUSED = ROOT / "typing_tests" / "refused.py"


def pyright_lines(file: Path) -> set[int]:
    command = [str(Path(sys.executable).with_name("basedpyright")), "--outputjson", str(file)]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout)
    found = [each for each in report["generalDiagnostics"] if each["severity"] == "error"]
    return {each["range"]["start"]["line"] + 1 for each in found}


def mypy_lines(file: Path) -> set[int]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT).stdout
    return {int(line) for line in re.findall(rf"{file.name}:(\d+): error", said)}


def marked() -> set[int]:
    return {number for number, line in enumerate(REFUSED.read_text().splitlines(), 1) if line.endswith("# wrong")}


@pytest.mark.slow
@pytest.mark.parametrize("lines", [pyright_lines, mypy_lines], ids=["pyright", "mypy"])
def test_checkers_agree_with_us(lines: object) -> None:
    """Nothing in the accepted file is refused, and in the refused file exactly the marked lines are."""
    pytest.importorskip("mypy", reason="the checkers come with the development dependencies")
    assert lines(ACCEPTED) == set()  # type: ignore[operator]
    assert lines(REFUSED) == marked()  # type: ignore[operator]
