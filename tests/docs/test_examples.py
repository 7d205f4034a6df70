"""Every example in the README and the pages runs as it stands, in the order in which a reader meets it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(r"^```(?P<language>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[re.Match[str]]:
    """The fenced blocks of a page. A file name after the language means: the reader saves it under that name."""
    return list(BLOCK.finditer(page.read_text("utf-8")))


def command_of(block: re.Match[str]) -> list[str] | None:
    """How a block is run: Python, or bash line by line; `console` is for what takes minutes or a daemon."""
    match block["language"]:
        case "python":
            return [sys.executable, "-W", "error", "-c", block["text"]]
        case "bash":
            return ["bash", "-euo", "pipefail", "-c", block["text"]]
        case _:
            return None


def run(command: list[str], folder: Path) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ETLPLUS_")} | {"PATH": path}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(command_of, blocks(page)))], ids=lambda page: page.name
)
def test_the_examples_of_a_page_run(page, tmp_path):
    """Files are saved, commands run, and where the page shows an output, that is the output; ``…`` stands for anything."""
    output = None
    for block in blocks(page):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
        elif command := command_of(block):
            output = run(command, tmp_path)
            if "data_dir" in block["text"]:  # who tries a program that keeps something tries it twice
                assert run(command, tmp_path) == output
        elif block["language"] == "text" and output is not None:
            assert re.fullmatch(".*".join(map(re.escape, block["text"].split("…"))), output, re.DOTALL), output
            output = None


def test_embedding_takes_less_than_twenty_lines():
    """The README's embedding example is a whole program, and short."""
    (example,) = [block["text"] for block in blocks(ROOT / "README.md") if block["language"] == "python"]
    assert "open_service" in example
    assert len([line for line in example.splitlines() if line.strip()]) < 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page):
    """A relative link names a file or folder that exists."""
    prose = BLOCK.sub("", page.read_text("utf-8"))
    links = re.findall(r"\]\((?!\w+:|#)([^)#]+)", prose)
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_and_files_that_a_page_names_exist(page):
    """Who looks up the proof of a promise finds it."""
    named = re.findall(
        r"`((?:tests|typing_tests|bench|config|docs|examples|tools|etlplus)/[\w./-]*)(?:::\w+)?`",
        page.read_text("utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_single_tests_that_a_page_names_exist(page):
    """The proof of a promise has not been renamed or removed."""
    named = re.findall(r"`(tests/[\w./-]*)::(\w+)`", page.read_text("utf-8"))
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (ROOT / file).read_text("utf-8")]
    assert missing == []
