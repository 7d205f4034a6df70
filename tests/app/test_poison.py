"""A run that kills whoever carries it, with real processes: it is set aside, and told of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "program_to_poison.py"
KILLED = 7


@pytest.mark.slow
def test_a_run_that_kills_its_worker_is_set_aside_with_reports(tmp_path: Path) -> None:
    """Each start of the program takes it up again and dies of it, as often as the job allows; the next one lives."""
    for _ in range(2):
        died = subprocess.run([sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, timeout=60)
        assert died.returncode == KILLED, died.stderr
    lives = subprocess.run([sys.executable, PROGRAM, tmp_path], capture_output=True, text=True, timeout=60)
    assert lives.returncode == 0, lives.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert (told["code"], len(told["problems"]), told["harmless"]) == ("worker_lost", 2, "succeeded")
    assert [attempt["ended"] for attempt in told["attempts"]] == ["lost", "lost"]
    assert len({attempt["worker_id"] for attempt in told["attempts"]}) == 2
    assert all(
        attempt["worker_id"] in problem for attempt, problem in zip(told["attempts"], told["problems"], strict=True)
    )
