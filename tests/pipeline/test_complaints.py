"""What does not fit a type is told with its place and what would be accepted, whatever the type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.pipeline.complaints import problem_of

JOB = {"name": "j", "command": {"argv": ["true"]}}
NAME = "1 to 200 characters, no slash, no control character, no blank in front"
LABEL = "1 to 100 characters without blanks and commas, and without ! in front"
ZONE = "a name of the IANA time zone database, such as Europe/Berlin"
CRON = {"kind": "cron", "cron": "0 2 * * *"}


def refused(said: dict[str, Any]) -> Problem:
    """The problem with a job that says this, which is the same whether it came as data or as JSON."""
    value = JOB | said
    with pytest.raises(msgspec.ValidationError) as plain:
        msgspec.convert(value, JobDraft)
    with pytest.raises(msgspec.ValidationError) as coded:
        msgspec.json.decode(msgspec.json.encode(value), type=JobDraft)
    found = problem_of(plain.value, value, JobDraft)
    assert problem_of(coded.value, value, JobDraft) == found
    return found


@pytest.mark.parametrize(
    ("said", "pointer", "words", "suggestion"),
    [
        ({"prioritty": 1}, "/prioritty", "unknown field", "did you mean 'priority'?"),
        ({"retry": {"rules": [{"retry": False}]}}, "/retry/rules/0/codes", "missing required field", None),
        ({"retry": {"kind": "expo"}}, "/retry/kind", "'expo'", "accepted: exponential, fixed, linear"),
        ({"priority": -1}, "/priority", "Expected `int` >= 0", "0 to 1,000"),
        ({"priority": "high"}, "/priority", "Expected `int`, got `str`", None),
        ({"timeout_s": 0}, "/timeout_s", "Expected `float` > 0.0", "above 0, at most 31,622,400"),
        ({"command": {"argv": []}}, "/command/argv", "length >= 1", "1 to 1,000 items"),
        ({"labels": ["a b"]}, "/labels/0", "not accepted", LABEL),
        ({"name": "a/b"}, "/name", "not accepted", NAME),
        ({"command": {"argv": ["x"], "env": {"A/B": 1}}}, "/command/env/A~1B", "got `int`", None),
        ({"schedule": CRON | {"zone": "Nowhere"}}, "/schedule/zone", "no time zone", ZONE),
        ({"schedule": CRON | {"cron": "0 0 31 2 *"}}, "/schedule/cron", "field 3", "days that exist in one of the months"),
        ({"schedule": {"kind": "crn"}}, "/schedule/kind", "'crn'", "did you mean 'cron'?"),
    ],
)  # fmt: skip
def test_place_rule_and_what_would_do(said: dict[str, Any], pointer: str, words: str, suggestion: str | None) -> None:
    """A key, a choice, a number, a length, the form of a text, and what is judged by more than its type."""
    problem = refused(said)
    assert (problem.pointer, problem.suggestion) == (pointer, suggestion)
    assert words in problem.message


def test_only_keys_of_the_kind_that_is_meant_are_offered() -> None:
    """Nobody is told that he may have meant the very key that is refused, since another kind has it."""
    problem = refused({"schedule": {"kind": "interval", "every_s": 60, "cron": "0 2 * * *"}})
    assert problem.pointer == "/schedule/cron"
    assert problem.suggestion is not None
    assert "every_s" in problem.suggestion
    assert "cron" not in problem.suggestion


def test_the_entry_of_a_very_large_mapping_is_not_searched_for() -> None:
    """That would take as long as the mapping is large, once for each entry; the mapping is named then."""
    for before, pointer in ((10, "/LAST"), (2000, "")):
        value = {f"V{n}": "text" for n in range(before)} | {"LAST": 1}
        with pytest.raises(msgspec.ValidationError) as refusal:
            msgspec.convert(value, dict[str, str])
        assert problem_of(refusal.value, value, dict[str, str]).pointer == pointer
