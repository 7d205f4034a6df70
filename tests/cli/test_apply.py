"""A folder of files is what the daemon has, once it was applied: plan, change, prune, and nothing when something is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from shells import PIPELINE, Shell

from etlplus.cli import apply
from etlplus.cli.applying.folder import read_folder
from etlplus.cli.applying.plan import Present
from etlplus.cli.exits import Exit
from etlplus.client import Client
from etlplus.errors import Invalid

JOB = "queue: nightly\nlimit: {name: warehouse}\nretry: {attempts_max: 5}\npipeline:\n  " + PIPELINE.replace(
    "\n", "\n  "
)
LINES = "queues:\n  - {name: nightly, slots: 4}\nlimits:\n  - {name: warehouse, slots: 2}\n"


def fill(folder: Path) -> Path:
    """A folder with a job, a pipeline deeper down, and what they need."""
    (folder / "deeper").mkdir(parents=True)
    (folder / "deeper" / "people.csv").write_text("name,born\nAda,1815\n")
    (folder / "people.csv").write_text("name,born\nAda,1815\n")
    (folder / "lines.yaml").write_text(LINES)
    (folder / "nightly.yaml").write_text(f"name: nightly\n{JOB}")
    (folder / "deeper" / "plain.yaml").write_text(PIPELINE.replace("name: people\n", "name: plain\n", 1))
    (folder / "notes.txt").write_text("not for us")
    return folder


@pytest.mark.slow
def test_a_folder_is_planned_applied_changed_and_pruned(shell: Shell) -> None:
    """A dry run changes nothing; applied twice, there is nothing to change; what a person paused stays paused."""
    folder = fill(shell.folder / "jobs")
    plan = "+ create limit warehouse\n+ create queue nightly\n+ create job plain\n+ create job nightly\n"
    assert shell.said("apply", "jobs", "--dry-run") == plan + "4 to create; nothing was changed\n"
    assert json.loads(shell.said("jobs", "list", "--json"))["items"] == []
    assert shell.said("apply", "jobs") == plan + "4 created\n"
    assert shell.said("apply", "jobs") == "nothing to change\n"
    shell.said("schedules", "pause", "nightly")
    (folder / "nightly.yaml").write_text(f"name: nightly\n{JOB}".replace("attempts_max: 5", "attempts_max: 6"))
    (folder / "lines.yaml").write_text(LINES.replace("slots: 4", "slots: 5"))
    changed = "~ change queue nightly\n    slots: 4 → 5\n~ change job nightly\n    retry.attempts_max: 5 → 6\n"
    assert shell.said("apply", "jobs") == changed + "2 changed\n"
    assert json.loads(shell.said("jobs", "show", "nightly", "--json"))["paused"] is True
    shell.said("queues", "set", "spare")
    shell.said("limits", "set", "spare", "--slots", "1")
    (folder / "deeper" / "plain.yaml").unlink()
    assert shell.said("apply", "jobs") == "nothing to change\n"
    pruned = "- delete job plain\n- delete queue spare\n- delete limit spare\n"
    assert shell.said("apply", "jobs", "--prune") == pruned + "3 deleted\n"
    record = json.loads(shell.said("apply", "jobs", "--prune", "--dry-run", "--json"))
    assert record == {"done": False, "steps": []}


@pytest.mark.slow
def test_with_anything_wrong_nothing_is_changed(shell: Shell) -> None:
    """Every problem is told with file, line and column, those that only the daemon finds among them."""
    folder = fill(shell.folder / "wrong")
    (folder / "unknown.yaml").write_text(f"name: unknown\n{JOB}".replace("queue: nightly", "queue: nihgtly"))
    (folder / "broken.yaml").write_text(
        PIPELINE.replace("born is", "bron is").replace("name: people", "name: broken", 1)
    )
    done = shell("apply", "wrong")
    assert done.returncode == Exit.INVALID
    assert "unknown.yaml:2:1: there is no queue 'nihgtly' (one of default, nightly" in done.stderr
    assert "broken.yaml:9:25: " in done.stderr
    assert "nothing was changed" in done.stderr
    assert shell("jobs", "show", "plain").returncode == Exit.NOT_FOUND
    assert shell("apply", "nowhere").returncode == Exit.INVALID


@pytest.mark.slow
def test_a_step_that_the_daemon_refuses_is_told_with_what_was_not_done(shell: Shell) -> None:
    """A job with unfinished runs is not deleted; the steps before it are done, and those after it are counted."""
    folder = fill(shell.folder / "busy")
    shell.said("apply", "busy")
    shell.said("runs", "start", "plain", "--at", "2150-01-01T00:00:00Z")
    (folder / "deeper" / "plain.yaml").unlink()
    shell.said("queues", "set", "over")
    done = shell("apply", "busy", "--prune")
    assert done.returncode == Exit.CONFLICT
    assert "delete job plain: the job has unfinished runs; 1 more steps were not done" in done.stderr


@pytest.fixture
def meanwhile(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has somebody else give a command when the next ``apply`` has seen what there is, and done nothing yet."""
    look = apply._present

    def arrange(*arguments: str) -> None:
        async def present(client: Client) -> Present:
            found = await look(client)
            monkeypatch.setattr(apply, "_present", look)
            done = await trio.to_thread.run_sync(shell.program, *arguments)
            assert done.returncode == 0, done.stderr
            return found

        monkeypatch.setattr(apply, "_present", present)

    return arrange


@pytest.mark.slow
def test_of_two_who_apply_at_once_the_second_is_told_what_he_could_not_do(
    shell: Shell, meanwhile: Callable[..., None]
) -> None:
    """What both delete is deleted; what the other has made, changed or deleted meanwhile is named with the step that it stops."""
    folder = fill(shell.folder / "both")
    nightly = f"name: nightly\n{JOB}"
    shell.said("apply", "both", "--prune")
    (folder / "nightly.yaml").unlink()
    (folder / "lines.yaml").unlink()
    meanwhile("apply", "both", "--prune")
    assert shell.said("apply", "both", "--prune").endswith("3 deleted\n")

    (folder / "lines.yaml").write_text(LINES)
    (folder / "nightly.yaml").write_text(nightly)
    meanwhile("apply", "both")
    done = shell("apply", "both")
    assert done.returncode == Exit.CONFLICT
    assert "create job nightly: the job is not accepted" in done.stderr
    assert "another job is called 'nightly'" in done.stderr

    (folder / "nightly.yaml").write_text(nightly.replace("attempts_max: 5", "attempts_max: 6"))
    (folder / "second.yaml").write_text(nightly.replace("name: nightly", "name: second"))
    meanwhile("schedules", "pause", "nightly")
    done = shell("apply", "both")
    assert done.returncode == Exit.CONFLICT
    assert "change job nightly: the job is at version 2, not 1 any more; 1 more steps were not done" in done.stderr

    meanwhile("jobs", "delete", "nightly")
    done = shell("apply", "both")
    assert done.returncode == Exit.NOT_FOUND
    assert "change job nightly: there is no job" in done.stderr


def test_what_cannot_be_read_is_told_all_at_once(tmp_path: Path) -> None:
    """Wrong keys, wrong values, and the same name twice: each with its place."""
    folder = fill(tmp_path / "jobs")
    (folder / "zz.yaml").write_text("queues:\n  - {name: nightly}\n")
    (folder / "keys.yaml").write_text("queues: []\ncolours: []\n")
    (folder / "slots.toml").write_text('[[limits]]\nname = "x"\nslots = 0\n')
    (folder / "priority.yaml").write_text(f"name: p\npriority: -1\n{JOB}")
    (folder / "cron.yaml").write_text(f"name: c\nschedule: {{kind: cron, cron: 0 0 31 2 *}}\n{JOB}")
    (folder / "broken.yaml").write_text("a: [\n")
    with pytest.raises(Invalid) as refused:
        read_folder(folder)
    said = [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]
    places = ["broken.yaml:2:", "cron.yaml:2:24: field 3", "keys.yaml:2:1: there is no key 'colours'"]
    places += ["priority.yaml:2:1: ", "slots.toml:3:1: ", "zz.yaml:2:"]
    assert len(said) == len(places), said
    assert [text for text, place in zip(said, places, strict=True) if not text.startswith(place)] == []
    assert "the queue 'nightly' stands in" in said[-1]
