"""Dead letters from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shells import PIPELINE, Shell

from etlplus.cli.exits import Exit

pytestmark = pytest.mark.slow


def test_what_failed_for_good_is_listed_replayed_and_discarded(shell: Shell) -> None:
    """A dry run makes nothing; a run named twice is told to be gone; the reason of a discard is kept."""
    plan = PIPELINE.replace("people.csv", "away.csv").replace("\n", "\n  ")
    (shell.folder / "away.yaml").write_text(f"name: away\nretry: {{attempts_max: 1}}\npipeline:\n  {plan}")
    (shell.folder / "away.csv").write_text("name,born\n")
    shell.said("jobs", "create", "away.yaml")
    (shell.folder / "away.csv").unlink()
    first, second = [shell("runs", "start", "away", "--follow", "--json").stdout for _ in range(2)]
    first, second = json.loads(first)["id"], json.loads(second)["id"]
    assert [line.split()[0] for line in shell.said("letters", "list").splitlines()[1:]] == [second, first]
    assert shell.said("letters", "replay", "--job", "away", "--dry-run") == (
        f"{first} would be made again\n{second} would be made again\n"
    )
    (shell.folder / "away.csv").write_text("name,born\nAda,1815\n")
    replayed = shell.said("letters", "replay", first, "--param", "day=2030-01-01")
    run = replayed.split()[-1]
    assert replayed == f"{first} is made again as {run}\n"
    assert shell("runs", "follow", run).returncode == Exit.OK
    again = shell("letters", "replay", first)
    assert (again.returncode, again.stdout.startswith(f"{first} stays: there is no such")) == (Exit.FAILED, True)
    kept = shell("letters", "discard", first, "--reason", "because")
    assert (kept.returncode, kept.stdout.startswith(f"{first} stays: there is no such")) == (Exit.FAILED, True)
    assert shell("letters", "discard", "--reason", "because").returncode == Exit.INVALID
    assert shell.said("letters", "discard", "--all", "--reason", "the file is back") == f"{second} is discarded\n"
    assert shell.said("letters", "discard", "--all", "--reason", "again") == "no dead letter is meant\n"
    assert "the file is back" in shell.said("letters", "list", "--resolved")
    wrong = shell("letters", "list", "--from", "yesterday")
    assert (wrong.returncode, "--from" in wrong.stderr) == (Exit.INVALID, True)
