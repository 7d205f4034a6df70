"""The console sessions of the page on running it, carried out in order against a real daemon."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
sys.path.insert(0, str(Path(__file__).parent))
from shells import open_shell
from test_queues_page import as_pattern, sessions, typed

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_each_session_shows_what_the_page_shows(tmp_path: Path) -> None:
    """A command that fails is marked with an exclamation mark in what it says; no other may."""
    told = [session for block in BLOCK.findall(PAGE) for session in sessions(block)]
    ours = [(command, output) for command, output in told if command.startswith("etlplus ")]
    assert len(ours) == 5
    with open_shell(tmp_path) as shell:
        for command, shown in ours:
            done = typed(shell, command)
            said = done.stdout if done.returncode == 0 else f"! {done.stderr}"
            assert re.fullmatch(as_pattern(shown, ""), said, re.DOTALL), (command, said)


def test_every_option_of_connections_is_explained() -> None:
    """Who tunes the connections finds each option named where its effect is told."""
    from etlplus.settings.options import options

    named = [option.key for option in options() if option.key.startswith("store.postgres.")]
    assert len(named) > 5
    assert [key for key in named if key not in PAGE and f"\n{key.rpartition('.')[2]} = " not in PAGE] == []


@pytest.mark.slow
def test_the_daemon_ends_with_the_status_that_the_page_tells(tmp_path: Path) -> None:
    """What a service manager goes by: each is one of the program's, and a start that cannot succeed says why in its own."""
    from etlplus.cli.exits import Exit

    told = {int(status) for status in re.findall(r"^\| (\d+) \| .* \|$", PAGE, re.MULTILINE)}
    assert told == {Exit.OK, Exit.CONFIGURATION, Exit.CONFLICT, Exit.UNAVAILABLE, Exit.INTERNAL}

    def served(*options: str) -> int:
        given = [word for option in (f"data_dir={tmp_path / 'data'}", *options) for word in ("--set", option)]
        return subprocess.run(
            [sys.executable, "-m", "etlplus", "serve", *given], stderr=subprocess.DEVNULL, check=False
        ).returncode

    (tmp_path / "file").touch()
    assert served("server.port=many") == Exit.CONFIGURATION
    assert served(f"data_dir={tmp_path / 'file'}") == Exit.CONFIGURATION
    assert served(f"store.url=postgresql://etlplus@/etlplus?host={tmp_path}") == Exit.UNAVAILABLE


def test_every_metric_of_the_page_is_exported() -> None:
    """Nobody sets an alarm that cannot ring."""
    from etlplus.telemetry import METRICS

    named = set(re.findall(r"`(etlplus_\w+)(?: \d+)?`", PAGE))
    assert len(named) > 10
    assert named <= {metric.name for metric in METRICS}
