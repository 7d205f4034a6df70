"""
What the files of a folder want: every job, queue and limit in them, each with the file and the place it was read from.

A file is a job, a bare pipeline, or a list of queues and limits (``queues: [...]``, ``limits: [...]``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from etlplus.cli.documents import Document, read_document
from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import LimitDraft, QueueDraft
from etlplus.pipeline.complaints import problem_of

SUFFIXES = frozenset({".yaml", ".yml", ".json", ".toml"})
Draft = JobDraft | QueueDraft | LimitDraft
D = TypeVar("D", JobDraft, QueueDraft, LimitDraft)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that a file wants. ``at`` is the pointer to it in its document; ``says`` are the fields that it gives."""

    draft: Draft
    document: Document
    at: str
    says: frozenset[str]

    def refused(self, problems: Sequence[Problem]) -> list[Problem]:
        """These problems of the draft, with file, line and column."""
        return [self.document.placed(problem, self.at) for problem in problems]


@dataclass(slots=True)
class Wishes:
    """All that a folder wants, by name, in the order in which it has to be made."""

    limits: dict[str, Wanted] = field(default_factory=dict)
    queues: dict[str, Wanted] = field(default_factory=dict)
    jobs: dict[str, Wanted] = field(default_factory=dict)


def read_folder(folder: Path) -> Wishes:
    """
    Read every document in a folder and below.

    Raises:
        Invalid: one cannot be read or used, or two want the same; every problem is told, with file, line and column.
    """
    if not folder.is_dir():
        raise Invalid("The folder cannot be applied.", [Problem("is no folder", file=str(folder))])
    wishes, problems = Wishes(), list[Problem]()
    for file in sorted(each for each in folder.rglob("*") if each.suffix in SUFFIXES and each.is_file()):
        try:
            for wanted in _wanted(read_document(file)):
                problems += _take(wishes, wanted)
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid("The folder cannot be applied.", problems)
    return wishes


def _take(wishes: Wishes, wanted: Wanted) -> list[Problem]:
    match wanted.draft:
        case JobDraft():
            kind, known = "job", wishes.jobs
        case QueueDraft():
            kind, known = "queue", wishes.queues
        case LimitDraft():
            kind, known = "limit", wishes.limits
    if (other := known.get(wanted.draft.name)) is not None:
        message = f"the {kind} {wanted.draft.name!r} stands in {other.document.file} too"
        return wanted.refused([Problem(message, "/name", "name_taken", suggestion="another name")])
    known[wanted.draft.name] = wanted
    return []


def _wanted(document: Document) -> Iterator[Wanted]:
    if not {"queues", "limits"} & document.content.keys():
        yield Wanted(document.draft(), document, "", frozenset(document.content))
        return
    with document.placing():
        strange = sorted(document.content.keys() - {"queues", "limits"})
        if strange:
            problem = Problem(f"there is no key {strange[0]!r}", f"/{strange[0]}", suggestion="queues, limits")
            raise Invalid("The file cannot be used.", [problem])
    yield from _listed(document, "limits", LimitDraft)
    yield from _listed(document, "queues", QueueDraft)


def _listed(document: Document, key: str, kind: type[D]) -> Iterator[Wanted]:
    with document.placing():
        items: list[dict[str, Any]] = _converted(document.content.get(key, []), list[dict[str, Any]], f"/{key}")
        drafts = [_converted(item, kind, f"/{key}/{at}") for at, item in enumerate(items)]
    for at, (item, draft) in enumerate(zip(items, drafts, strict=True)):
        yield Wanted(draft, document, f"/{key}/{at}", frozenset(item))


def _converted(value: Any, kind: Any, at: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = problem_of(error, value, kind)
        problem = msgspec.structs.replace(found, pointer=at + found.pointer)
        raise Invalid("The file cannot be used.", [problem]) from None
