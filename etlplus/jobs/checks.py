"""
What of a definition or a wish can be accepted, beyond what its types say; each refusal names the field, and what would do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from etlplus.jobs.codes import ERROR_CODES, nearest_code
from etlplus.jobs.model import Job, JobDraft, NewRun, RetryPolicy
from etlplus.jobs.needs import needs_of, unmet
from etlplus.jobs.queues import HOUSE, LimitUse, QueueMode, counted_by
from etlplus.jobs.refusal import Refusal
from etlplus.jobs.schedules import OnceSchedule, Schedule
from etlplus.jobs.values import BYTES, DEPTH_MAX, TOO_DEEP, flaw

PARAMS_BYTES_MAX = 1_000_000
"""Of a run's parameters, as JSON. Data belongs into a source; a run only says which."""
COMMAND_PARAMS_BYTES_MAX = 100_000
"""The same, of a run that is a command: it gets them in its environment, where no system has room for much more."""
JOB_BYTES_MAX = 1_000_000
"""Of a definition, as JSON."""
KEY_CHARS_MAX = 500
"""Of a unique key, and of a limit's key."""


def check_job(draft: JobDraft, queues: Collection[str], limits: Collection[str]) -> list[Refusal]:
    """Whether a definition can be kept, the queue and the limit that it names exist, and the limit can count the runs that it
    makes.
    """
    unfit = _check_document(draft)
    found = [*unfit]
    if draft.queue not in queues:
        accepted = f"one of {', '.join(sorted(queues))}"
        found.append(Refusal(f"there is no queue {draft.queue!r}", "/queue", "unknown_queue", accepted))
    if draft.limit is not None and (draft.limit.name not in limits or draft.limit.name == HOUSE):
        known = sorted(set(limits) - {HOUSE})
        accepted = f"one of {', '.join(known)}" if known else "none: no limit was made yet"
        found.append(Refusal(f"there is no limit {draft.limit.name!r}", "/limit/name", "unknown_limit", accepted))
    if draft.schedule is not None and draft.limit is not None and draft.limit.by is not None and not unfit:
        value = counted_by(draft.limit.by, draft.schedule.given, draft.pipeline)
        found += _check_limit_value(draft.limit, value, "/schedule")
    return found


def _check_document(draft: JobDraft) -> list[Refusal]:
    """Whether every value of a definition, and all of it together, can be kept."""
    try:
        fields = msgspec.to_builtins(draft, builtin_types=BYTES)
    except RecursionError:
        return [Refusal("the definition is nested too deeply", "", TOO_DEEP, f"at most {DEPTH_MAX} levels")]
    found = check_fields(fields, takes_nul=False)
    if not found and draft.schedule is not None:
        found = _check_size(draft.schedule.given, draft, "/schedule")
    if not found and len(msgspec.json.encode(fields)) > JOB_BYTES_MAX:
        accepted = f"at most {JOB_BYTES_MAX:,} bytes of JSON"
        return [Refusal("the definition is too large", "", "too_large", accepted)]
    return found


def check_schedule(pipeline: dict[str, Any], schedule: Schedule) -> list[Refusal]:
    """Whether the runs that a schedule would make are given what the pipeline needs, and nothing else."""
    try:
        needs = needs_of(pipeline)
    except msgspec.ValidationError:
        return []  # which is said of the pipeline
    if needs is None:
        return []
    found = unmet(needs, schedule.given, "/schedule", has_interval=True)
    if isinstance(schedule, OnceSchedule) and needs.interval:
        message = "the pipeline needs an interval, and a run that comes once has none"
        found.append(Refusal(message, "/schedule/kind", "missing_interval", "calendar, cron or interval"))
    return found


def check_fields(
    record: Mapping[str, Any], place: str = "", *, levels: int = DEPTH_MAX + 1, takes_nul: bool = True
) -> list[Refusal]:
    """Whether every value in a record, which is given as plain data, can be kept. ``place`` stands in front of the pointer. Unless
    told otherwise, a field may be nested as deeply as one that holds a run's parameters.
    """
    if flaw(record, levels=levels + 1, takes_nul=takes_nul) is None:
        return []  # as almost always; now for the field
    found = (
        check_value(value, f"{place}/{name}", levels=levels, takes_nul=takes_nul) for name, value in record.items()
    )
    return next((each for each in found if each), list[Refusal]())


def check_value(value: Any, place: str, *, levels: int = DEPTH_MAX, takes_nul: bool = True) -> list[Refusal]:
    """Whether a value of JSON can be kept; see ``values.flaw``."""
    found = flaw(value, levels=levels, takes_nul=takes_nul)
    return [msgspec.structs.replace(found, pointer=place + found.pointer)] if found is not None else []


def check_rules(policy: RetryPolicy) -> list[Refusal]:
    """Whether each code that a rule names can be that of an error; a rule about any other would never be followed."""
    return [
        Refusal(
            f"there is no error code {code!r}", f"/retry/rules/{at}/codes/{place}", "unknown_code", nearest_code(code)
        )
        for at, rule in enumerate(policy.rules)
        for place, code in enumerate(rule.codes)
        if code not in ERROR_CODES
    ]


def check_wish(wish: NewRun, job: Job, mode: QueueMode, place: str = "") -> list[Refusal]:
    """Whether a run can be made as it is wished for. ``place`` stands in front of every pointer."""
    found: list[Refusal] = []
    if mode is QueueMode.DRAINING:
        message = f"the queue {job.queue!r} is draining: it takes no new runs"
        found.append(Refusal(message, f"{place}/queue", "queue_draining", "a queue that is open or paused"))
    unfit = check_value(wish.params, f"{place}/params") or _check_size(wish.params, job, place)
    found += unfit or _check_needs(wish, job, place)
    if wish.unique_key is not None and not _is_key(wish.unique_key):
        accepted = f"1 to {KEY_CHARS_MAX} characters, none of them NUL"
        found.append(Refusal("the unique key cannot be kept", f"{place}/unique_key", "bad_key", accepted))
    if job.limit is not None and job.limit.by is not None and not unfit:
        found += _check_limit_value(job.limit, counted_by(job.limit.by, wish.params, job.pipeline), place)
    return found


def _check_size(params: dict[str, Any], job: Job | JobDraft, place: str) -> list[Refusal]:
    most = PARAMS_BYTES_MAX if job.command is None else COMMAND_PARAMS_BYTES_MAX
    if not params or len(msgspec.json.encode(params)) <= most:
        return []
    return [Refusal("the parameters are too large", f"{place}/params", "too_large", f"at most {most:,} bytes of JSON")]


def _check_needs(wish: NewRun, job: Job, place: str) -> list[Refusal]:
    try:
        needs = needs_of(job.pipeline) if job.pipeline is not None else None
    except msgspec.ValidationError as error:
        message = f"what the pipeline declares cannot be read: {error}"
        return [Refusal(message, f"{place}/params", "invalid_params", "a pipeline that was mended")]
    return unmet(needs, wish.params, place, has_interval=wish.interval is not None) if needs is not None else []


def _is_key(text: str) -> bool:
    return 0 < len(text) <= KEY_CHARS_MAX and flaw(text, takes_nul=False) is None


def _check_limit_value(use: LimitUse, value: Any, place: str) -> list[Refusal]:
    plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    if plain and _is_key(f"{use.name}/{value}"):
        return []
    message = f"the limit {use.name!r} counts by the parameter {use.by!r}"
    accepted = (
        f"a text without NUL or a whole number, together with the limit's name at most {KEY_CHARS_MAX} characters"
    )
    return [Refusal(message, f"{place}/params/{use.by}", "limit_key", accepted)]
