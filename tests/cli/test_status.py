"""Whether the daemon works, from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shells import Shell

from etlplus.cli.exits import Exit

pytestmark = pytest.mark.slow


def test_the_status_is_told_to_people_and_programs(shell: Shell) -> None:
    """With a token all of it; without one whether it works; and where nobody answers, that."""
    whole = json.loads(shell.said("status", "--json"))
    assert (whole["health"]["status"], whole["status"]["store"]["state"]) == ("pass", "available")
    anybody = shell("status", ETLPLUS_TOKEN="")
    assert (anybody.returncode, anybody.stdout.splitlines()[1]) == (Exit.OK, "store     pass")
    assert "slots" not in anybody.stdout
    nobody = shell("status", ETLPLUS_URL="http://127.0.0.1:1")
    assert (nobody.returncode, "no daemon answers" in nobody.stderr) == (Exit.UNAVAILABLE, True)
