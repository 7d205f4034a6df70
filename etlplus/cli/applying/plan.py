"""
How what a folder wants differs from what a daemon has, as steps in the order in which they can be done.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from etlplus.cli.applying.folder import Draft, Wanted, Wishes
from etlplus.errors import Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import HOUSE, Limit, Queue
from etlplus.service.views import JobView

DEFAULT_QUEUE = "default"
Deed = Literal["create", "change", "delete"]
Kind = Literal["limit", "queue", "job"]


@dataclass(frozen=True, slots=True)
class Present:
    """What the daemon has, by name."""

    limits: Mapping[str, Limit]
    queues: Mapping[str, Queue]
    jobs: Mapping[str, JobView]


@dataclass(frozen=True, slots=True)
class Change:
    """One field that becomes another."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``draft`` is what there will be, ``present`` the job that it changes or deletes."""

    deed: Deed
    kind: Kind
    name: str
    draft: Draft | None = None
    wanted: Wanted | None = None
    present: JobView | None = None
    changes: tuple[Change, ...] = ()


def planned(wishes: Wishes, present: Present, *, prune: bool) -> list[Step]:
    """
    The steps from what there is to what is wanted: limits and queues before the jobs that name them, deletions last.

    What a file does not say about pausing stays as a person left it. With ``prune``, what no file wants is deleted; the
    default queue stays.
    """
    steps = [*_saved("limit", wishes.limits, present.limits), *_saved("queue", wishes.queues, present.queues)]
    steps += _saved("job", wishes.jobs, present.jobs)
    if prune:
        steps += [
            Step("delete", "job", name, present=job) for name, job in present.jobs.items() if name not in wishes.jobs
        ]
        gone = [name for name in present.queues if name not in wishes.queues and name != DEFAULT_QUEUE]
        steps += [Step("delete", "queue", name) for name in gone]
        steps += [Step("delete", "limit", name) for name in present.limits if name not in wishes.limits]
    return steps


def unknown_names(wishes: Wishes, present: Present, *, prune: bool) -> list[Problem]:
    """Queues and limits that a job names and that would not be there once the plan is carried out."""
    kept = Present({}, {}, {}) if prune else present
    queues = {DEFAULT_QUEUE, *wishes.queues, *kept.queues}
    limits = {*wishes.limits, *kept.limits} - {HOUSE}
    found: list[Problem] = []
    for wanted in wishes.jobs.values():
        job = wanted.draft
        assert isinstance(job, JobDraft)
        if job.queue not in queues:
            problem = Problem(f"there is no queue {job.queue!r}", "/queue", "unknown_queue", suggestion=_named(queues))
            found += wanted.refused([problem])
        if job.limit is not None and job.limit.name not in limits:
            message = f"there is no limit {job.limit.name!r}"
            problem = Problem(message, "/limit/name", "unknown_limit", suggestion=_named(limits))
            found += wanted.refused([problem])
    return found


def _named(names: set[str]) -> str:
    return f"one of {', '.join(sorted(names))}" if names else "none: no file makes one"


def _saved(kind: Kind, wanted: Mapping[str, Wanted], present: Mapping[str, Any]) -> Iterator[Step]:
    for name, each in wanted.items():
        there = present.get(name)
        if there is None:
            yield Step("create", kind, name, each.draft, each)
            continue
        draft = each.draft
        if isinstance(draft, JobDraft) and "paused" not in each.says:
            draft = msgspec.structs.replace(draft, paused=there.paused)
        if changes := _changes(draft, there):
            yield Step("change", kind, name, draft, each, there if isinstance(there, JobView) else None, changes)


def _changes(draft: Draft, there: Any) -> tuple[Change, ...]:
    """Every field of the draft that the present thing has otherwise."""
    found: list[Change] = []
    for name in draft.__struct_fields__:
        before, after = (msgspec.to_builtins(getattr(each, name)) for each in (there, draft))
        found += _differing(name, before, after)
    return tuple(found)


def _differing(name: str, before: Any, after: Any) -> Sequence[Change]:
    """The innermost fields that differ; lists are compared as a whole."""
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        keys = sorted({*old, *new})
        return [each for key in keys for each in _differing(f"{name}.{key}", old.get(key), new.get(key))]
    return [Change(name, before, after)]


def told(steps: Sequence[Step]) -> str:
    """The plan in words, one line for each thing and one for each field that changes."""
    signs = {"create": "+", "change": "~", "delete": "-"}
    lines: list[str] = []
    for step in steps:
        lines.append(f"{signs[step.deed]} {step.deed} {step.kind} {step.name}")
        lines += [f"    {change.field}: {_short(change.before)} → {_short(change.after)}" for change in step.changes]
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "…"
