"""The console sessions of the page on queues, carried out in order against a real daemon."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from shells import PIPELINE, Shell, open_shell

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "queues.md").read_text("utf-8")
BLOCK = re.compile(
    r"^```(?P<language>console|yaml|json)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that the page shows for it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def typed(shell: Shell, command: str) -> subprocess.CompletedProcess[str]:
    """What a person in this shell gets to see."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=shell.folder,
        env=shell.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def as_pattern(shown: str, last: str) -> str:
    """``…`` stands for anything, ``$LAST`` for the run that was asked for last."""
    return ".*".join(map(re.escape, shown.replace("$LAST", last).split("…")))


@pytest.mark.slow
def test_each_session_shows_what_the_page_shows(tmp_path: Path) -> None:
    """A command that fails is marked with an exclamation mark in what it says; no other may."""
    with open_shell(tmp_path) as shell:
        indented = PIPELINE.replace("\n", "\n  ")
        retry = "retry: {attempts_max: 3, base_s: 0.1}"
        (tmp_path / "people.yaml").write_text(f"name: people\nqueue: nightly\n{retry}\npipeline:\n  {indented}")
        last, commands = "", 0
        for block in BLOCK.finditer(PAGE):
            if block["file"]:
                (tmp_path / block["file"]).parent.mkdir(exist_ok=True)
                (tmp_path / block["file"]).write_text(block["text"])
                continue
            for command, shown in sessions(block["text"]):
                done = typed(shell, command.replace("$LAST", last))
                assert (done.returncode != 0) == shown.startswith("! "), f"{command}: {done.stdout}{done.stderr}"
                pattern = as_pattern(shown.removeprefix("! "), last)
                assert re.fullmatch(pattern, done.stdout, re.DOTALL), f"{command}: {done.stdout}"
                if command.startswith("etlplus runs start") and (found := RUN.search(done.stdout)):
                    last = found[0]
                commands += 1
        assert commands == len(re.findall(r"^\$ ", PAGE, re.MULTILINE))


def test_the_modes_and_the_defaults_of_the_page_are_those_of_the_program() -> None:
    """Its tables name every mode of a queue, and every field of a unique key with its default."""
    from etlplus.jobs.model import Uniqueness
    from etlplus.jobs.queues import QueueMode

    assert set(re.findall(r"^\| (\w+) \| (?:yes|no)", PAGE, re.MULTILINE)) == {mode.value for mode in QueueMode}
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == set(Uniqueness.__struct_fields__)
    assert rows["states"] == ", ".join(state.value for state in Uniqueness().states)
    assert rows["on_conflict"] == f"`{Uniqueness().on_conflict}`"
