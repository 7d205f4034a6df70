"""Queues and limits from the command line."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shells import Shell

from etlplus.cli.exits import Exit

pytestmark = pytest.mark.slow


def test_queues_are_made_steered_and_forgotten(shell: Shell) -> None:
    """Each command says what is so now; an unknown queue has a status of its own."""
    assert shell.said("queues", "set", "nightly", "--slots", "4") == "nightly (open): up to 4 at once\n"
    assert shell.said("queues", "pause", "nightly") == "nightly is paused; runs in hand go on\n"
    assert "paused" in shell.said("queues", "show", "nightly")
    assert shell.said("queues", "drain", "nightly") == "nightly is draining: it takes no new runs\n"
    assert shell.said("queues", "resume", "nightly") == "nightly is open\n"
    listed = json.loads(shell.said("queues", "list", "--json"))
    assert [counts["queue"]["name"] for counts in listed["items"]] == ["default", "nightly"]
    assert shell.said("queues", "list").splitlines()[0].split()[:3] == ["NAME", "MODE", "SLOTS"]
    assert shell.said("queues") == shell.said("queues", "list")
    assert json.loads(shell.said("runs", "--json")).keys() == {"items", "next_cursor"}
    assert shell.said("queues", "delete", "nightly") == "the queue nightly is deleted\n"
    assert shell("queues", "pause", "nightly").returncode == Exit.NOT_FOUND
    refused = shell("queues", "set", "nightly", "--slots", "0")
    assert (refused.returncode, "/slots" in refused.stderr) == (Exit.INVALID, True)


def test_limits_are_made_and_forgotten(shell: Shell) -> None:
    """The limit over all runs is called *, like any other."""
    assert shell.said("limits", "set", "*", "--slots", "8") == "*: up to 8 at once for each key\n"
    assert shell.said("limits", "list").split() == ["NAME", "SLOTS", "RATE", "*", "8", "-"]
    assert shell.said("limits", "delete", "*", "--json") == '{\n  "deleted": {\n    "limit": "*"\n  }\n}\n'
    assert shell("limits", "delete", "*").returncode == Exit.NOT_FOUND


def test_a_limit_has_slots_a_rate_or_both(shell: Shell) -> None:
    """The rate is written as people say it; what is none is refused with what would be one."""
    assert shell.said("limits", "set", "crm", "--rate", "5/s") == "crm: 5 in 1s, 5 in a burst for each key\n"
    both = shell.said("limits", "set", "crm", "--slots", "2", "--rate", "1000/24h", "--burst", "9")
    assert both == "crm: up to 2 at once, 1000 in 1d, 9 in a burst for each key\n"
    (crm,) = json.loads(shell.said("limits", "list", "--json"))["items"]
    assert crm["rate"] == {"count": 1000, "per_s": 86_400, "burst": 9}
    for wrong in (["--rate", "quick"], ["--rate", "5/0s"], ["--rate", "0/s"], ["--burst", "3"], []):
        refused = shell("limits", "set", "crm", *wrong)
        assert refused.returncode == Exit.INVALID, refused.stderr
    assert "100/1m" in shell("limits", "set", "crm", "--rate", "quick").stderr


def test_queues_can_be_followed_live(shell: Shell) -> None:
    """How they stand, and then one line for each that changes, until interrupted; with --json, what the daemon told."""
    shell.said("queues", "set", "live", "--slots", "2")
    with shell.open("queues", "--follow") as plain, shell.open("queues", "list", "--follow", "--json") as machine:
        assert plain.stdout is not None
        assert machine.stdout is not None
        said = [next(plain.stdout).split(maxsplit=2) for _ in range(2)]
        assert [words[:2] for words in said] == [["default", "open"], ["live", "open"]]
        assert said[1][2].strip() == "queued 0  scheduled 0  running 0 (up to 2 at once)"
        snapshot = json.loads(next(machine.stdout))
        assert (snapshot["type"], snapshot["topics"], snapshot["runs"]) == ("snapshot", ["queues"], [])
        shell.said("queues", "pause", "live")
        assert next(plain.stdout).split()[:2] == ["live", "paused"]
        told = json.loads(next(machine.stdout))
        assert (told["type"], [each["queue"]["mode"] for each in told["queues"]]) == ("queues", ["paused"])
        shell.said("queues", "delete", "live")
        assert next(plain.stdout).split() == ["live", "gone"]
        for following in (plain, machine):
            following.send_signal(signal.SIGINT)
            assert following.wait(timeout=20) == Exit.INTERRUPTED
