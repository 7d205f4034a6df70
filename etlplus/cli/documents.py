"""
Files that people write for us: a pipeline, or a whole job around one, in YAML, JSON or TOML.

A document keeps the positions of its keys, so that a problem which somebody else found by pointer (the service, the
engine) can still be told with line and column of the file the person has open.
"""

from __future__ import annotations

import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import msgspec

from etlplus.errors import Invalid, Problem
from etlplus.jobs.model import JobDraft
from etlplus.jobs.texts import escaped
from etlplus.pipeline.complaints import problem_of
from etlplus.pipeline.document import Positions, place, read
from etlplus.pipeline.plan import Pipeline
from etlplus.settings.places import broken
from etlplus.settings.places import positions as toml_positions

KINDS = frozenset({"pipeline", "python", "command"})
"""A document with one of these keys is a whole job."""
OF_A_JOB = frozenset(JobDraft.__struct_fields__) - {"name"}
OF_A_PLAN = frozenset(Pipeline.__struct_fields__) - {"name"}


class Document(msgspec.Struct, frozen=True):
    """What a file says, and where in it."""

    file: Path
    content: dict[str, Any]
    positions: Positions

    @contextmanager
    def placing(self, below: str = "") -> Generator[None]:
        """Problems raised inside are raised again with line and column; ``below`` is put before their pointers."""
        try:
            yield
        except Invalid as error:
            placed = [self.placed(problem, below) for problem in error.problems]
            raise type(error)(error.message, placed, code=error.reason) from error

    def placed(self, problem: Problem, below: str = "") -> Problem:
        """The problem with file, line and column; ``below`` is put before its pointer."""
        if problem.line is not None:
            return problem
        pointer = problem.pointer
        if not self.is_job:
            pointer = pointer.removeprefix("/pipeline")
        return place(msgspec.structs.replace(problem, pointer=below + pointer), self.positions, str(self.file))

    @property
    def is_job(self) -> bool:
        """Whether the file holds a whole job; otherwise it is a pipeline."""
        if OF_A_PLAN.isdisjoint(self.content):
            return not OF_A_JOB.isdisjoint(self.content)
        return not KINDS.isdisjoint(self.content)

    def draft(self, **changes: Any) -> JobDraft:
        """The job that the file defines: the whole of it, or one made of defaults around the pipeline.

        Raises:
            Invalid: what it says is no job.
        """
        named = {"name": self.content.get("name", self.file.stem)}
        said = self.content if self.is_job else named | {"pipeline": self.content}
        value = {"base_dir": str(self.file.resolve().parent)} | said | changes
        with self.placing():
            try:
                return msgspec.convert(value, JobDraft)
            except msgspec.ValidationError as error:
                raise Invalid("The job cannot be used.", [problem_of(error, value, JobDraft)]) from error


def read_document(file: Path) -> Document:
    """Read a document; its name tells its language: .toml, else YAML, of which JSON is a part.

    Raises:
        Invalid: it cannot be read, or is no mapping; the problem names the file and, where known, line and column.
    """
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        raise _unreadable(Problem(f"cannot be read: {error.strerror}", file=str(file))) from error
    except UnicodeDecodeError as error:
        raise _unreadable(Problem(f"is not UTF-8 (byte {error.start})", file=str(file))) from error
    content, positions = _toml(text, file) if file.suffix == ".toml" else read(text, file=str(file))
    if not isinstance(content, dict):
        raise _unreadable(Problem("holds no mapping", file=str(file), line=1, column=1, suggestion="key: value lines"))
    return Document(file, cast("dict[str, Any]", content), positions)


def _unreadable(problem: Problem) -> Invalid:
    return Invalid("The file cannot be used.", [problem])


def _toml(text: str, file: Path) -> tuple[object, Positions]:
    try:
        content = tomllib.loads(text)
    except ValueError as error:
        raise _unreadable(broken(file, error, text)) from error
    return msgspec.to_builtins(content), {
        "".join(f"/{escaped(part)}" for part in path): place for path, place in toml_positions(text).items()
    }
