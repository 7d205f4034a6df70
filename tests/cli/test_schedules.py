"""A cron can be looked at before anybody relies on it, without a daemon."""

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from shells import PIPELINE, Shell

from etlplus.cli import entry
from etlplus.cli.exits import Exit

EVE = "2026-03-28T00:00:00Z"


def preview(*words: str) -> int:
    return entry(["schedules", "preview", *words])


def test_the_preview_says_when_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line holds the wall time, the moment, and the reason; what is excluded has no moment."""
    words = ["30 2 * * *", "--zone", "Europe/Berlin", "--from", EVE, "--count", "3", "--exclude", "monday"]
    assert preview(*words) == Exit.OK
    head, _, normal, shifted, excluded = capsys.readouterr().out.splitlines()
    assert head == "cron 30 2 * * * in Europe/Berlin"
    assert normal.split("  ")[:2] == ["Sat 2026-03-28 02:30:00", "2026-03-28 01:30:00Z"]
    assert "2026-03-29 01:00:00Z" in shifted
    assert "clocks are put forward from 02:00:00 to 03:00:00" in shifted
    assert "mondays are excluded" in excluded
    assert "2026-03-30 00:30:00Z" not in excluded


def test_the_preview_speaks_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json it is a list of nominal times, with the same names as everywhere."""
    words = ["30 2 * * *", "--zone", "Europe/Berlin", "--from", EVE, "--count", "2", "--gap", "before", "--json"]
    assert preview(*words) == Exit.OK
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "due": True,
        "at": "2026-03-28T01:30:00Z",
        "wall": "2026-03-28T02:30:00",
        "reason": "normal",
        "note": "",
        "meaning": "due at its wall time",
    }
    assert (second["at"], second["reason"]) == ("2026-03-29T00:59:59Z", "shifted_earlier")


def test_the_preview_starts_now(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --from, the first line is the next time there is."""
    before = datetime.now(UTC)
    assert preview("* * * * * *", "--count", "1", "--json") == Exit.OK
    (shown,) = json.loads(capsys.readouterr().out)
    assert before < datetime.fromisoformat(shown["at"])
    assert (datetime.fromisoformat(shown["at"]) - datetime.now(UTC)).total_seconds() <= 1


@pytest.mark.parametrize("start", ["9999-12-31T23:59:59-11:00", "2300-12-31T23:59:59Z"])
def test_a_preview_may_be_empty(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing is due any more, that is said."""
    assert preview("@daily", "--from", start) == Exit.OK
    assert capsys.readouterr().out == "cron @daily in UTC\nnothing is due any more\n"


def test_a_preview_may_start_long_ago(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is due before 1970."""
    assert preview("@daily", "--from", "0001-01-01T00:00:00+11:00", "--count", "1") == Exit.OK
    assert "1970-01-01 00:00:00Z" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0 0 31 2 *"], "cron: field 3 (day of month), character 5"),
        (["*/-5 * * * *"], "cron: field 1 (minute), character 3: '-5' is no step (accepted: 1-60"),
        (["@daily", "--zone", "Europe/Berln"], "did you mean Europe/Berlin"),
        (["@daily", "--from", "today"], "--from: 'today' is no moment (accepted: a date, a time and an offset"),
        (["@daily", "--from", "2026-03-28"], "--from: '2026-03-28' is no moment"),
        (["@daily", "--count", "0"], "--count: 0 is out of range (accepted: 1 to 1,000)"),
        (["@daily", "--count", "1001"], "--count: 1001 is out of range (accepted: 1 to 1,000)"),
        ([], "nothing or two things to show (accepted: either CRON or --job JOB)"),
        (["@daily", "--job", "x"], "nothing or two things to show"),
        (["--job", "x", "--zone", "UTC"], "--zone: the job has that in its schedule"),
    ],
)
def test_what_cannot_be_shown_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong cron, zone or moment is told with what would be accepted."""
    assert preview(*words) == Exit.INVALID
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_schedule_of_a_job_is_shown_paused_and_resumed(shell: Shell) -> None:
    """By the name of the job, whatever the kind of its schedule."""
    schedule = "schedule: {kind: calendar, unit: week, weekdays: [monday], at: '02:00'}"
    indented = PIPELINE.replace("\n", "\n  ")
    (shell.folder / "weekly.yaml").write_text(f"name: weekly\n{schedule}\npipeline:\n  {indented}")
    shell.said("jobs", "create", "weekly.yaml")
    lines = shell.said("schedules", "preview", "--job", "weekly", "--count", "2").splitlines()
    assert lines[0] == "every 1 week(s) at 02:00 in UTC"
    assert [line[:3] for line in lines[2:]] == ["Mon", "Mon"]
    assert shell.said("schedules", "pause", "weekly") == "weekly is paused: its schedule makes no runs\n"
    assert "(paused: makes no runs)" in shell.said("schedules", "preview", "--job", "weekly")
    assert shell.said("schedules", "resume", "weekly").startswith("weekly makes runs again; next run: 20")
    assert shell("schedules", "pause", "nowhere").returncode == Exit.NOT_FOUND


@pytest.mark.slow
def test_ticks_are_listed_from_the_command_line(shell: Shell) -> None:
    """An empty ledger is a head alone; each line says what was decided and why; an unknown job has a status of its own."""
    (shell.folder / "daily.yaml").write_text(
        "name: daily\ncommand: {argv: ['true']}\nschedule: {kind: cron, cron: '@daily'}\n"
    )
    shell.said("jobs", "create", "daily.yaml")
    assert shell.said("schedules", "ticks", "daily").split() == ["NOMINAL", "TO", "OUTCOME", "REASON", "COUNT", "RUN"]
    (shell.folder / "beat.yaml").write_text(
        "name: beat\ncommand: {argv: ['true']}\nschedule: {kind: interval, every_s: 1}\n"
    )
    shell.said("jobs", "create", "beat.yaml")
    fired = re.compile(r"^\S+ \S+Z +- +fired +normal +1 +\S{36}$", re.MULTILINE)
    while not fired.search(shell.said("schedules", "ticks", "beat")):  # late ticks of a busy machine are told as such
        assert shell.said("jobs", "show", "beat")
    shell.said("schedules", "pause", "beat")
    assert shell("schedules", "ticks", "nowhere").returncode == Exit.NOT_FOUND
