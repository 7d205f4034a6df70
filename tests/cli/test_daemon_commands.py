"""Commands speak to a running daemon: what they print can be read by people and, with --json, by programs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shells import PIPELINE, Shell

from etlplus.cli import entry
from etlplus.cli.exits import Exit

pytestmark = pytest.mark.slow

SAME_DIRECTORY = ("--set", "data_dir=data", "--set", "server.port=0", "--set", "monitoring.websocket.port=0")


def test_a_job_is_defined_run_and_looked_at(shell: Shell):
    """The way of a newcomer: create, start and follow, list, show, and look at what was refused."""
    assert shell.said("jobs", "create", "people.yaml").startswith("people (")
    followed = shell("runs", "start", "people", "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "3 read = 2 loaded" in followed.stdout
    listed = json.loads(shell.said("runs", "list", "--job", "people", "--state", "succeeded", "--json"))
    (run,) = listed["items"]
    assert run["id"] in shell.said("runs", "list")
    shown = shell.said("runs", "show", run["id"])
    assert "3 read = 2 loaded" in shown
    assert "HAPPENED" in shown
    assert "Nobody" in shell.said("runs", "rejects", run["id"])
    assert shell.said("runs", "follow", run["id"]) == followed.stdout
    finished = shell("runs", "cancel", run["id"])
    assert finished.returncode == Exit.CONFLICT
    assert "people" in shell.said("jobs", "list")
    assert json.loads(shell.said("jobs", "show", "people", "--json"))["version"] == 1


PROGRAMS = {
    ("jobs",): Exit.OK,
    ("runs",): Exit.OK,
    ("why", "nobody"): Exit.NOT_FOUND,
    ("letters",): Exit.OK,
    ("queues",): Exit.OK,
    ("limits",): Exit.OK,
    ("schedules", "preview", "@daily"): Exit.OK,
    ("apply", "nowhere"): Exit.INVALID,
    ("status",): Exit.OK,
    ("sign-in", "ada"): Exit.OK,
    ("serve", *SAME_DIRECTORY): Exit.CONFLICT,
    ("run", "nowhere.yaml"): Exit.INVALID,
    ("backup", "backup", "--set", "data_dir=data"): Exit.OK,
    ("restore", "backup", "--set", "data_dir=data"): Exit.CONFLICT,
    ("migrate", "--check", "--set", "data_dir=data"): Exit.OK,
    ("config", "check"): Exit.OK,
    ("demo", "--stop"): Exit.OK,
}
"""Each command, and how it ends beside the daemon."""


def test_every_command_can_be_started_as_a_program(shell: Shell, capsys: pytest.CaptureFixture[str]):
    """Most tests carry commands out in their own process; this one has each of them start, do its work and end."""
    with pytest.raises(SystemExit):
        entry(["--help"])
    commands = re.findall(r"^    ([a-z-]+)(?: |$)", capsys.readouterr().out.partition("examples:")[0], re.MULTILINE)
    assert {command for command, *_ in PROGRAMS} == set(commands)
    for words, status in PROGRAMS.items():
        done = shell.program(*words)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr


def test_a_job_can_be_replaced_and_deleted(shell: Shell):
    """Creating twice is a conflict, replacing raises the version, and a deleted job is gone."""
    assert shell("jobs", "create", "people.yaml", "--name", "twice").returncode == 0
    assert shell("jobs", "create", "people.yaml", "--name", "twice").returncode == Exit.CONFLICT
    assert "version 2" in shell.said("jobs", "create", "people.yaml", "--name", "twice", "--replace")
    assert shell.said("jobs", "delete", "twice") == "the job twice is deleted\n"
    gone = shell("jobs", "show", "twice")
    assert (gone.returncode, "twice" in gone.stderr) == (Exit.NOT_FOUND, True)


def test_what_a_job_is_and_what_bounds_it_is_shown(shell: Shell):
    """What it does, its limit, labels and time limits; what nothing bounds is left out."""
    shell.said("limits", "set", "shown", "--slots", "1")
    (shell.folder / "shown.yaml").write_text(
        "name: shown\ncommand: {argv: [echo, two words]}\nlabels: [gpu]\nlimit: {name: shown, by: tenant}\n"
        "timeout_s: 60\ntotal_timeout_s: 3600\nretry: {rules: [{codes: [timeout], retry: false}]}\n"
    )
    shell.said("jobs", "create", "shown.yaml")
    lines = shell.said("jobs", "show", "shown").splitlines()[1:]
    assert lines == [
        "  command: echo 'two words'",
        "  queue default, priority 0, up to 3 attempts, rules for some errors: 1",
        "  schedule: none; next run: when asked for",
        "  limit: shown, for each tenant",
        "  labels: gpu",
        "  time limits: attempt 60 s, in all 3600 s",
    ]
    assert shell.said("jobs", "show", "people").splitlines()[1:] == [
        "  pipeline",
        "  queue default, priority 0, up to 3 attempts",
        "  schedule: none; next run: when asked for",
    ]
    shell.said("jobs", "delete", "shown")
    shell.said("limits", "delete", "shown")


def test_a_mistake_that_only_the_daemon_finds_is_told_by_line(shell: Shell):
    """The daemon answers with pointers; the person reads line and column of the file, and nothing is stored."""
    (shell.folder / "wrong.yaml").write_text(PIPELINE.replace("born is", "bron is").replace("name: people", "name: x"))
    for command in ("check", "create"):
        done = shell("jobs", command, "wrong.yaml")
        assert done.returncode == Exit.INVALID
        assert "wrong.yaml:9:25: " in done.stderr
    assert shell.said("jobs", "check", "people.yaml") == "people.yaml: valid\n"
    assert shell("jobs", "show", "x").returncode == Exit.NOT_FOUND


def test_a_wrong_password_and_a_wrong_token_are_refused(shell: Shell):
    """Who is not signed in is told so, with a status of its own."""
    assert shell("sign-in", "ada", ETLPLUS_PASSWORD="wrong").returncode == Exit.NOT_ALLOWED
    assert shell("runs", "list", ETLPLUS_TOKEN="wrong").returncode == Exit.NOT_ALLOWED
    assert shell("sign-in", "eve", "--first", "guess").returncode == Exit.NOT_ALLOWED


def test_a_daemon_that_is_not_there_is_told_as_such(shell: Shell):
    """No daemon is a sentence and a status that says: try later."""
    done = shell("runs", "list", "--url", "http://127.0.0.1:9")
    assert done.returncode == Exit.UNAVAILABLE
    assert "no daemon answers at http://127.0.0.1:9" in done.stderr


def test_a_second_daemon_on_the_same_data_is_refused(shell: Shell):
    """Two daemons would fight over one directory; the second says so and ends."""
    done = shell.program("serve", *SAME_DIRECTORY)
    assert done.returncode == Exit.CONFLICT
    assert "data" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_nobody_reads_any_more_is_no_error(shell: Shell):
    """`etlplus … | head -1` ends quietly."""
    shell("jobs", "create", "people.yaml", "--name", "piped", "--replace")
    command = f"{sys.executable} -m etlplus jobs list | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=shell.folder,
        env=shell.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
