"""Runs from the command line: asked for later, explained, followed live, and what they wrote."""

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


def test_a_run_can_be_asked_for_later_and_once(shell: Shell) -> None:
    """The same key gives the same run; why it is not running is said in plain sentences."""
    shell.said("jobs", "create", "people.yaml", "--name", "later")
    words = ("runs", "start", "later", "--at", "2150-01-01T00:00:00Z")
    run = shell.said(*words, "--once", "a").strip()
    assert shell.said(*words, "--once", "a").strip() == run
    assert shell.said("runs", "list", "--queue", "default", "--state", "scheduled").splitlines()[1].startswith(run)
    why = shell.said("why", run)
    assert why == f"run {run} is scheduled\nIts time has not come: it is due at 2150-01-01 00:00:00Z.\n"
    assert json.loads(shell.said("why", run, "--json"))["facts"][0]["kind"] == "not_due"
    wrong = shell("runs", "start", "later", "--at", "tomorrow")
    assert (wrong.returncode, "--at: 'tomorrow' is no moment" in wrong.stderr) == (Exit.INVALID, True)
    assert shell("why", "nothing").returncode == Exit.NOT_FOUND
    assert shell("runs", "list", "--queue", "nowhere").returncode == Exit.INVALID


def test_a_run_can_be_asked_for_with_a_key_and_for_a_stretch_of_data(shell: Shell, tmp_path: Path) -> None:
    """For how long a key counts, and what becomes of a run that finds it taken, is said by options; all of it fits in a file."""
    shell.said("jobs", "create", "people.yaml", "--name", "keyed")
    stretch = "2026-03-28T00:00:00Z/2026-03-29T00:00:00Z"
    words = ("runs", "start", "keyed", "--at", "2150-01-01T00:00:00Z", "--key", "k", "--json")
    first = json.loads(shell.said(*words, "--interval", stretch))
    assert first["interval"] == stretch.split("/")
    assert f"\n\ninterval = {stretch}\nunique key = k\n\n" in shell.said("runs", "show", first["id"])
    replaced = json.loads(shell.said(*words, "--on-conflict", "replace", "--param", "n=1"))
    assert (replaced["id"], replaced["params"], replaced["interval"]) == (first["id"], {"n": 1}, None)
    assert shell(*words, "--on-conflict", "reject").returncode == Exit.CONFLICT
    other = json.loads(shell.said(*words, "--while", "queued", "--while", "running"))
    assert other["id"] != first["id"]
    assert json.loads(shell.said(*words, "--period", "1000"))["id"] == other["id"]
    for wrong, said in (
        (("--interval", "2026"), "--interval: '2026' is no interval"),
        (("--interval", "2026/2027"), "--interval: '2026' is no moment"),
        (("--period", "3"), "--period is about a key"),
        (("--while", "failed"), "--while is about a key"),
    ):
        refused = shell("runs", "start", "keyed", *wrong)
        assert (refused.returncode, said in refused.stderr) == (Exit.INVALID, True), refused.stderr


def test_many_runs_are_asked_for_by_a_file(shell: Shell, tmp_path: Path) -> None:
    """A line for each; all are made or none, and asked again with a key, none is made again."""
    shell.said("jobs", "create", "people.yaml", "--name", "many")
    line = '{"job": "many", "run_at": "2150-01-01T00:00:00Z", "params": {"n": %d}}'
    file = tmp_path / "many.ndjson"
    file.write_text("\n\n".join(line % n for n in range(30)) + "\n")
    for _ in range(2):
        made = json.loads(shell.said("runs", "start-many", str(file), "--once", "many", "--json"))
        assert (made["made"], len(set(made["run_ids"]))) == (30, 30)
    assert len(shell.said("runs", "list", "--job", "many").splitlines()) == 31
    for text, said in (
        ('{"job": "many"}\n{"job": "many", "prio": 1}', f"{file}:2: prio: Object contains unknown field `prio`"),
        ('{"job": "many", "priority": -1}\n{"jib": "many"}', f"{file}:2: jib: Object contains unknown field `jib`"),
        ("\n", f"{file}: it is empty"),
        ('{"job": "many"}\n\n{"job": "nobody"}', f"{file}:3: job: there is no job 'nobody'"),
        ('{"job": ', f"{file}:1: Input data was truncated"),
    ):
        file.write_text(text)
        refused = shell("runs", "start-many", str(file))
        assert (refused.returncode, said in refused.stderr) == (Exit.INVALID, True), refused.stderr
    assert shell("runs", "start-many", str(tmp_path / "nowhere")).returncode == Exit.INVALID
    assert len(shell.said("runs", "list", "--job", "many").splitlines()) == 31


def test_a_run_can_be_asked_for_with_a_priority_of_its_own(shell: Shell) -> None:
    """Out of bounds, it is refused with the field."""
    shell.said("jobs", "create", "people.yaml", "--name", "urgent")
    words = ("runs", "start", "urgent", "--at", "2150-01-01T00:00:00Z", "--json", "--priority")
    assert json.loads(shell.said(*words, "7"))["priority"] == 7
    refused = shell(*words, "-1")
    assert (refused.returncode, "/priority" in refused.stderr) == (Exit.INVALID, True)


@pytest.mark.parametrize("words", [("runs", "--follow"), ("runs", "list", "--follow", "--job", "live")])
def test_all_runs_can_be_followed_live(shell: Shell, words: tuple[str, ...]) -> None:
    """One line for each transition, until interrupted."""
    shell.said("jobs", "create", "people.yaml", "--name", "live", "--replace")
    with shell.open(*words) as following:
        assert following.stdout is not None
        assert following.stderr is not None
        run = shell.said("runs", "start", "live", "--follow").split()[1]
        lines: list[str] = []
        for line in following.stdout:
            if run in line:
                lines.append(line)
            if run in line and "succeeded" in line:
                break
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=60) == Exit.INTERRUPTED
        assert following.stderr.read() == ""
    assert lines[-1].split()[3:] == ["succeeded", "live", "attempt", "1", "of", "3"]
    assert len(lines) == len(set(lines))


def test_followed_runs_can_be_read_by_programs(shell: Shell) -> None:
    """With --json each line is a run as it stood."""
    shell.said("jobs", "create", "people.yaml", "--name", "live", "--replace")
    run = shell.said("runs", "start", "live", "--at", "2150-01-01T00:00:00Z").strip()
    with shell.open("runs", "--follow", "--json") as following:
        assert following.stdout is not None
        told = next(shown for line in following.stdout if (shown := json.loads(line))["id"] == run)
        following.send_signal(signal.SIGINT)
        following.wait(timeout=60)
    assert told["state"] == "scheduled"
    shell.said("runs", "cancel", run)


def test_the_log_of_a_run_that_wrote_nothing_is_empty(shell: Shell) -> None:
    """Whole, from its end, or to the end of the run."""
    shell.said("jobs", "create", "people.yaml", "--name", "silent", "--replace")
    run = shell.said("runs", "start", "silent", "--follow").split()[1]
    for words in ((), ("--tail", "5"), ("--follow",), ("--search", "x"), ("--attempt", "1")):
        assert shell.said("runs", "logs", run, *words) == ""
    assert shell("runs", "logs", run, "--attempt", "2").returncode == Exit.NOT_FOUND


def test_many_runs_are_cancelled_by_what_they_are(shell: Shell) -> None:
    """Counted first; one that is named is cancelled as before, and both at once are refused."""
    shell.said("jobs", "create", "people.yaml", "--name", "unwanted")
    later = ("runs", "start", "unwanted", "--at", "2150-01-01T00:00:00Z")
    for _ in range(3):
        shell.said(*later)
    words = ("runs", "cancel", "--job", "unwanted", "--state", "scheduled", "--state", "queued")
    assert shell.said(*words, "--dry-run") == "3 would be cancelled, 0 would be asked to end\n"
    assert shell.said(*words, "--before", "2026-01-01T00:00:00Z") == "no run is meant\n"
    done = json.loads(shell.said(*words, "--json"))
    assert (done["cancelled"], done["asked"], len(done["run_ids"])) == (3, 0, 3)
    assert shell.said(*words) == "no run is meant\n"
    run = shell.said(*later).strip()
    for wrong in (
        ("runs", "cancel"),
        ("runs", "cancel", run, "--dry-run"),
        ("runs", "cancel", run, "--job", "unwanted"),
    ):
        assert shell(*wrong).returncode == Exit.INVALID, wrong
    assert shell.said("runs", "cancel", run) == f"{run} cancelled\n"
