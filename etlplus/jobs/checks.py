"""
What of a definition or a wish can be accepted, beyond what its types say; each refusal names the field, and what would do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, cast

import msgspec

from etlplus.jobs.codes import ERROR_CODES, nearest_code
from etlplus.jobs.model import Job, JobDraft, NewRun, RetryPolicy
from etlplus.jobs.needs import needs_of, unmet
from etlplus.jobs.queues import HOUSE, LimitUse, QueueMode, counted_by
from etlplus.jobs.refusal import Refusal
from etlplus.jobs.schedules import OnceSchedule, Schedule
from etlplus.jobs.texts import broken_at, nul_at

PARAMS_BYTES_MAX = 1_000_000
"""Of a run's parameters, as JSON. Data belongs into a source; a run only says which."""
DEPTH_MAX = 100
"""Of a run's parameters: what is read by several programs must not depend on the stack that each has left."""
KEY_CHARS_MAX = 500
"""Of a unique key, and of a limit's key."""


def check_job(draft: JobDraft, queues: Collection[str], limits: Collection[str]) -> list[Refusal]:
    """Whether every text of a definition can be kept, the queue and the limit that it names exist, and the limit can count the
    runs that it makes.
    """
    found = check_texts(draft)
    if not found and (place := nul_at(draft)) is not None:
        found.append(Refusal("there is a NUL character in this text", place, "bad_text", "any other characters"))
    if draft.queue not in queues:
        accepted = f"one of {', '.join(sorted(queues))}"
        found.append(Refusal(f"there is no queue {draft.queue!r}", "/queue", "unknown_queue", accepted))
    if draft.limit is not None and (draft.limit.name not in limits or draft.limit.name == HOUSE):
        known = sorted(set(limits) - {HOUSE})
        accepted = f"one of {', '.join(known)}" if known else "none: no limit was made yet"
        found.append(Refusal(f"there is no limit {draft.limit.name!r}", "/limit/name", "unknown_limit", accepted))
    if draft.schedule is not None:
        found += _check_keeping(draft.schedule.given, "/schedule")
        if draft.limit is not None and draft.limit.by is not None:
            value = counted_by(draft.limit.by, draft.schedule.given, draft.pipeline)
            found += _check_limit_value(draft.limit, value, "/schedule")
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


def check_texts(value: Any, place: str = "") -> list[Refusal]:
    """Whether every text in a value can be kept; ``place`` stands in front of the pointer."""
    broken = broken_at(value)
    if broken is None:
        return []
    message = "there is half of a surrogate pair in this text"
    return [Refusal(message, place + broken, "bad_text", "characters that can be encoded")]


def check_wish(wish: NewRun, job: Job, mode: QueueMode, place: str = "") -> list[Refusal]:
    """Whether a run can be made as it is wished for. ``place`` stands in front of every pointer."""
    found: list[Refusal] = []
    if mode is QueueMode.DRAINING:
        message = f"the queue {job.queue!r} is draining: it takes no new runs"
        found.append(Refusal(message, f"{place}/queue", "queue_draining", "a queue that is open or paused"))
    found += _check_keeping(wish.params, place) or _check_needs(wish, job, place)
    if wish.unique_key is not None and not 0 < len(wish.unique_key) <= KEY_CHARS_MAX:
        accepted = f"1 to {KEY_CHARS_MAX} characters"
        found.append(Refusal("the unique key cannot be kept", f"{place}/unique_key", "bad_key", accepted))
    if job.limit is not None and job.limit.by is not None:
        found += _check_limit_value(job.limit, counted_by(job.limit.by, wish.params, job.pipeline), place)
    return found


def _check_keeping(params: dict[str, Any], place: str) -> list[Refusal]:
    """Whether parameters can be kept, and handed on to whoever gets them."""
    if broken := check_texts(params, f"{place}/params"):
        return broken
    if _nests(params, DEPTH_MAX):
        accepted = f"at most {DEPTH_MAX} levels"
        return [Refusal("the parameters are nested too deeply", f"{place}/params", "too_deep", accepted)]
    if params and len(msgspec.json.encode(params)) > PARAMS_BYTES_MAX:
        accepted = f"at most {PARAMS_BYTES_MAX:,} bytes of JSON"
        return [Refusal("the parameters are too large", f"{place}/params", "too_large", accepted)]
    return []


def _check_needs(wish: NewRun, job: Job, place: str) -> list[Refusal]:
    try:
        needs = needs_of(job.pipeline) if job.pipeline is not None else None
    except msgspec.ValidationError as error:
        message = f"what the pipeline declares cannot be read: {error}"
        return [Refusal(message, f"{place}/params", "invalid_params", "a pipeline that was mended")]
    return unmet(needs, wish.params, place, has_interval=wish.interval is not None) if needs is not None else []


def _nests(value: Any, levels: int) -> bool:
    """Whether mappings and lists stand more than so many levels deep in each other."""
    if not isinstance(value, (dict, list)):
        return False
    inner = cast("Iterable[Any]", value.values() if isinstance(value, dict) else value)
    return levels == 0 or any(_nests(each, levels - 1) for each in inner)


def _check_limit_value(use: LimitUse, value: Any, place: str) -> list[Refusal]:
    plain = isinstance(value, (str, int)) and not isinstance(value, bool)
    if plain and len(f"{use.name}/{value}") <= KEY_CHARS_MAX and "\0" not in str(value):
        return []
    message = f"the limit {use.name!r} counts by the parameter {use.by!r}"
    accepted = (
        f"a text without NUL or a whole number, together with the limit's name at most {KEY_CHARS_MAX} characters"
    )
    return [Refusal(message, f"{place}/params/{use.by}", "limit_key", accepted)]
