"""The page on jobs tells every field and every error code that there is, and its example is a job."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from etlplus.cli.documents import read_document
from etlplus.jobs.codes import ERROR_CODES
from etlplus.jobs.model import ErrorRule, JobDraft, RetryPolicy

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text("utf-8")
PIPELINES = (ROOT / "docs" / "pipelines.md").read_text("utf-8")


def first_cells(page: str) -> set[str]:
    """The names in the first column of the tables of a page."""
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", page, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def errors() -> Iterator[tuple[str, bool]]:
    """The codes of errors that are written in the program, each with whether trying again can help."""
    for file in set((ROOT / "etlplus").rglob("*.py")) - set((ROOT / "etlplus" / "testing").rglob("*.py")):
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        raised = [
            call for call in calls if getattr(call.func, "id", "") in {"RunError", "ConnectorFailed"} and call.args
        ]
        for call in raised:
            if isinstance(call.args[0], ast.Constant):
                yield str(call.args[0].value), any(word.arg == "retryable" for word in call.keywords)


def defaults(page: str) -> dict[str, str]:
    """What stands in the third column of the tables of a page, by each name in the first."""
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|[^|]*\| ([^|\n]*) \|$", page, re.MULTILINE)
    told: dict[str, str] = {}
    for names, default in rows:
        for name in re.findall(r"`(\w+)`", names):
            told.setdefault(
                name, default
            )  # the fields of a rule have the names of those of the policy, and come after them
    return told


@pytest.mark.parametrize("kind", [JobDraft, RetryPolicy, ErrorRule])
def test_every_field_is_told(kind: type) -> None:
    """Of the job, its policy and a rule."""
    assert set(kind.__struct_fields__) - first_cells(PAGE) == set()


def test_every_error_code_is_told() -> None:
    """Here, or where the errors of loads are listed."""
    found = {code for code, _ in errors()}
    assert {"command_failed", "source_unreadable"} < found
    assert found <= ERROR_CODES
    assert ERROR_CODES - first_cells(PAGE) - first_cells(PIPELINES) == set()


def test_whether_an_error_is_tried_again_is_told() -> None:
    """``yes`` or ``no``, and a sentence where it depends; that the loss of a worker ends a run is told of the run alone."""
    again: dict[str, set[bool]] = {}
    for code, retryable in errors():
        again.setdefault(code, set()).add(retryable)
    rows = re.findall(r"^\| (`.*`) \| ([^|]+) \| [^|]+ \|$", PAGE + PIPELINES, re.MULTILINE)
    told = {name: said for names, said in rows for name in re.findall(r"`(\w+)`", names)}
    plain = {code: "yes" if kinds == {True} else "no" for code, kinds in again.items() if len(kinds) == 1}
    assert len(plain) > 12
    assert {code: told[code] for code in plain} == plain
    depends = again.keys() - plain.keys() - {"worker_lost"}
    assert "internal" in depends
    assert [code for code in depends if told[code] in {"yes", "no"}] == []


def test_the_defaults_of_the_page_are_those_of_the_program() -> None:
    """What holds unless told otherwise."""
    told, policy, job = defaults(PAGE), RetryPolicy(), JobDraft(name="plain", python="plain")
    numbers = {name: float(told[name]) for name in ("attempts_max", "base_s", "cap_s", "jitter")}
    assert numbers == {name: getattr(policy, name) for name in numbers}
    assert (told["kind"], told["retry"]) == (policy.kind, "three attempts" if policy.attempts_max == 3 else "")
    assert told["queue"] == f"queue `{job.queue}`, priority {job.priority}"
    assert (told["poison_after"], told["paused"]) == (str(job.poison_after), str(job.paused).lower())


def test_the_example_is_a_job(tmp_path: Path) -> None:
    """Read as the command line reads it."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "nightly.yaml"
    file.write_text(text)
    draft = read_document(file).draft()
    assert (draft.retry.attempts_max, draft.retry.rules[0].retry, draft.timeout_s) == (5, False, 3600)
