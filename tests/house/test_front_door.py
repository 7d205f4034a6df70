"""make needs nothing but Python, and says in one line what is missing."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def fake_python(folder: Path, version: str, refuses: str) -> Path:
    """An interpreter that says it is ``version`` and fails on any program that contains ``refuses``."""
    file = folder / "python"
    file.write_text(
        f'#!/bin/sh\ncase "$*" in\n  -V) echo "Python {version}" ;;\n  *"{refuses}"*) exit 1 ;;\n  *) exit 0 ;;\nesac\n'
    )
    file.chmod(0o755)
    return file


def prepare(folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "tools" / "prepare"), str(folder / "venv"), str(python), "demo"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("version", "refuses", "said"),
    [
        ("3.8.18", "version_info", "Python 3.11 or newer is needed"),
        ("3.11.2", "ensurepip", "lacks the module venv"),
    ],
)
def test_what_is_missing_is_said_in_one_line(tmp_path, version, refuses, said):
    """A Python that is too old, or without venv, ends make with one sentence and nothing made."""
    done = prepare(tmp_path, fake_python(tmp_path, version, refuses))
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_said_to_be_missing(tmp_path):
    """A typo in PYTHON= is told as what it is."""
    done = prepare(tmp_path, tmp_path / "nothing")
    assert "nothing is missing" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_prepared_environment_is_not_prepared_again(tmp_path):
    """Later calls see that nothing changed: the interpreter is not even asked."""
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "constraints.txt", "tools/prepare"):
        shutil.copy(ROOT / name, tmp_path / name)
    inputs = subprocess.run(
        ["sh", "-c", "cat pyproject.toml constraints.txt tools/prepare | cksum"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "venv" / ".ready-dev").write_text(inputs)

    def again() -> subprocess.CompletedProcess[str]:
        command = ["tools/prepare", "venv", str(tmp_path / "gone"), "demo"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (again().returncode, again().stderr) == (0, "")
    with (tmp_path / "constraints.txt").open("a") as pins:
        pins.write("another==1.0\n")
    assert again().returncode == 1


def test_help_is_the_default_and_lists_every_target():
    """`make` alone teaches; every target with a sentence is shown."""
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "stop", "serve", "test", "check", "lint", "soak", "bench", "clean", "help"):
        assert f"make {target} " in shown


def test_the_readme_names_everything_that_can_be_measured():
    """All that ``make bench`` and ``make soak`` can be told, and nothing else."""
    usage = subprocess.run([sys.executable, "-m", "bench", "-h"], cwd=ROOT, capture_output=True, text=True, check=True)
    (names,) = re.findall(r"^  \{(.+)\}$", usage.stdout, re.MULTILINE)
    rows = re.findall(r"^\| `make (?:bench|soak)` \|.*$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}
    assert told == set(names.split(",")) - {"soak"}


def test_interpreters_that_are_tested_together_have_a_part_each(tmp_path):
    """Of seeds that need not be played on all of them, each plays its own; a failure of any is one of all."""
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(sys.prefix)
    program = "import os, sys; print(part := os.environ['TESTS_PART']); sys.exit(part == '2/2')"
    command = [sys.executable, ROOT / "tools" / "side_by_side.py", "one two", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert [line for line in done.stdout.splitlines() if "/" in line and "==" not in line] == ["1/2", "2/2"]
    assert done.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupted_demo_leaves_no_daemon(tmp_path, word):
    """Ctrl-C, or a terminal that is closed, in the middle of the demo ends its daemon too."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "etlplus", "demo", "--dir", str(tmp_path / "demo")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # whoever runs the tests may ignore it
    )
    with demo:
        assert demo.stdout is not None
        assert next(line for line in demo.stdout if "started run" in line)
        demo.send_signal(word)
        assert demo.wait(timeout=60) == 130
    listed = subprocess.run(["ps", "-eo", "command="], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in listed.stdout
