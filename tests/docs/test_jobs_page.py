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


def first_cells(page: str) -> set[str]:
    """The names in the first column of the tables of a page."""
    rows = re.findall(r"^\| ([^|]*`[^|]*) \|", page, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def codes() -> Iterator[str]:
    """The codes of errors that are written in the program."""
    for file in (ROOT / "etlplus").rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
        raised = [
            call for call in calls if getattr(call.func, "id", "") in ("RunError", "ConnectorFailed") and call.args
        ]
        yield from (str(call.args[0].value) for call in raised if isinstance(call.args[0], ast.Constant))


@pytest.mark.parametrize("kind", [JobDraft, RetryPolicy, ErrorRule])
def test_every_field_is_told(kind: type) -> None:
    """Of the job, its policy and a rule."""
    assert set(kind.__struct_fields__) - first_cells(PAGE) == set()


def test_every_error_code_is_told() -> None:
    """Here, or where the errors of loads are listed."""
    found = set(codes())
    assert {"command_failed", "source_unreadable"} < found
    assert found <= ERROR_CODES
    assert ERROR_CODES - first_cells(PAGE) - first_cells((ROOT / "docs" / "pipelines.md").read_text("utf-8")) == set()


def test_the_example_is_a_job(tmp_path: Path) -> None:
    """Read as the command line reads it."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "nightly.yaml"
    file.write_text(text)
    draft = read_document(file).draft()
    assert (draft.retry.attempts_max, draft.retry.rules[0].retry, draft.timeout_s) == (5, False, 3600)
