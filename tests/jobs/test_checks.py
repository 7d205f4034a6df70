"""What of definitions and wishes is refused, and how the refusal tells where."""

from __future__ import annotations

from datetime import UTC, datetime

from etlplus.jobs.checks import KEY_CHARS_MAX, PARAMS_BYTES_MAX, check_job, check_rules, check_wish
from etlplus.jobs.codes import ERROR_CODES
from etlplus.jobs.model import ErrorRule, Job, JobDraft, NewRun, RetryPolicy
from etlplus.jobs.queues import LimitUse, QueueMode

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def job(limit: LimitUse | None = None) -> Job:
    return Job(id="j", name="job", version=1, pipeline={}, limit=limit, created_at=NOW, updated_at=NOW)


def test_a_definition_names_what_exists() -> None:
    """An unknown queue and an unknown limit are told together, each with what there is."""
    draft = JobDraft(name="j", pipeline={}, queue="q", limit=LimitUse("l"))
    queue, limit = check_job(draft, {"default", "other"}, set())
    assert (queue.pointer, queue.code, queue.accepted) == ("/queue", "unknown_queue", "one of default, other")
    assert (limit.pointer, limit.code, limit.accepted) == (
        "/limit/name",
        "unknown_limit",
        "none: no limit was made yet",
    )
    assert check_job(draft, {"q"}, {"l"}) == []


def test_a_rule_names_errors_that_there_are() -> None:
    """Each other code is told with its place, and with what was probably meant, or else all of them."""
    rules = (ErrorRule(codes=("timeout", "out_of_memory")), ErrorRule(codes=("timeout", "Data-Error", "bad_password")))
    near, far = check_rules(RetryPolicy(rules=rules))
    assert (near.pointer, near.code, near.accepted) == (
        "/retry/rules/1/codes/1", "unknown_code", "did you mean 'data_error'?"
    )  # fmt: skip
    assert far.pointer == "/retry/rules/1/codes/2"
    assert far.accepted.startswith("one of command_failed, command_not_started, ")
    assert check_rules(RetryPolicy(rules=(ErrorRule(codes=tuple(ERROR_CODES)),))) == []


def test_the_limit_of_the_house_is_nobodys_to_use() -> None:
    """It counts every run anyway."""
    draft = JobDraft(name="j", pipeline={}, limit=LimitUse("*"))
    assert [each.code for each in check_job(draft, {"default"}, {"*", "l"})] == ["unknown_limit"]


def test_parameters_have_a_size() -> None:
    """At the bound they pass, one byte above they do not."""
    fits = NewRun(job_id="j", params={"a": "x" * (PARAMS_BYTES_MAX - 8)})
    above = NewRun(job_id="j", params={"a": "x" * (PARAMS_BYTES_MAX - 7)})
    assert check_wish(fits, job(), QueueMode.OPEN) == []
    (refusal,) = check_wish(above, job(), QueueMode.OPEN, "/7")
    assert (refusal.pointer, refusal.code) == ("/7/params", "too_large")


def test_a_limit_by_parameter_needs_the_parameter() -> None:
    """A text or a whole number will do; nothing, a list, a truth or a very long text will not."""
    use = LimitUse("customer", by="id")
    for value in ("x", 7):
        assert check_wish(NewRun(job_id="j", params={"id": value}), job(use), QueueMode.OPEN) == []
    for params in ({}, {"id": []}, {"id": True}, {"id": "x" * KEY_CHARS_MAX}):
        (refusal,) = check_wish(NewRun(job_id="j", params=params), job(use), QueueMode.PAUSED)
        assert (refusal.pointer, refusal.code) == ("/params/id", "limit_key")


def test_a_unique_key_has_a_length() -> None:
    """An empty one and one that is too long are refused."""
    for key in ("", "x" * (KEY_CHARS_MAX + 1)):
        (refusal,) = check_wish(NewRun(job_id="j", unique_key=key), job(), QueueMode.OPEN)
        assert (refusal.pointer, refusal.code) == ("/unique_key", "bad_key")


def test_a_draining_queue_refuses() -> None:
    """Whatever the wish is."""
    (refusal,) = check_wish(NewRun(job_id="j"), job(), QueueMode.DRAINING)
    assert refusal.code == "queue_draining"
