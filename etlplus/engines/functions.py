"""
Jobs that are functions of the program itself: how they are declared, and the engine that calls them.

A function runs as a task beside many others, in the daemon's own thread: it must wait by ``await`` and leave what computes to
``trio.to_thread`` or to a pipeline. Its parameters are those of the run, converted to the types that it declares.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Generic, ParamSpec, cast, get_type_hints

import msgspec
from msgspec.structs import replace

from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work
from etlplus.errors import Misconfigured, Problem
from etlplus.jobs.checks import check_rules
from etlplus.jobs.model import JobDraft
from etlplus.jobs.outcome import Failed, Figures, Progress, Result, RunError, Succeeded
from etlplus.pipeline.complaints import problem_of, refused

P = ParamSpec("P")

TRACE_CHARS_MAX = 20_000
LEVEL_CHARS_MAX = 20
PHASE_CHARS_MAX = 200


class GiveUp(Exception):
    """Raised by a job's function: it failed, and trying again cannot help."""


class RetryLater(Exception):
    """Raised by a job's function: it failed, and trying again makes sense, but not before ``after_s`` seconds."""

    def __init__(self, message: str, *, after_s: float) -> None:
        if not isinstance(after_s, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance] - nobody checked the caller
            raise TypeError(f"after_s is a number of seconds, not {after_s!r}")
        super().__init__(message)
        self.after_s = float(after_s)


class RunContext:
    """What a job's function gets first: which run and attempt it is, and how to tell what it does."""

    def __init__(self, work: Work, reports: Reports) -> None:
        self.run_id = work.run_id
        self.attempt = work.attempt
        self.job_name = work.job_name
        self.interval = work.interval
        self._reports = reports

    def log(self, text: str, *, level: str = "info") -> None:
        """Write a line into the attempt's log."""
        self._reports.log(str(text), str(level)[:LEVEL_CHARS_MAX])

    def progress(self, share: float, phase: str = "running") -> None:
        """Tell how far the attempt is, 0.0 to 1.0.

        Raises:
            ValueError: it is no such number.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"progress is a share from 0.0 to 1.0, not {share!r}")
        self._reports.progress(Progress(str(phase)[:PHASE_CHARS_MAX], share=float(share)))


class Function(Generic[P]):
    """An async function that is a job, made by ``job``. Called directly, it is the function it was."""

    def __init__(self, call: Callable[P, Awaitable[None]], draft: JobDraft) -> None:
        self.call = call
        self.draft = draft
        self.params = _params_of(call, draft.name)
        self._hold_rules()
        self._hold_schedule()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[None]:
        return self.call(*args, **kwargs)

    def converted(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a run as the function wants them.

        Raises:
            msgspec.ValidationError: one is missing, unknown, or of another type.
        """
        values = msgspec.convert(params, self.params)
        return {name: getattr(values, name) for name in self.params.__struct_fields__}

    def misfit(self, params: dict[str, Any], place: str) -> Problem | None:
        """What is wrong with parameters, if anything is; ``place`` is where they stand."""
        try:
            self.converted(params)
        except msgspec.ValidationError as error:
            found = problem_of(error, params, self.params)
            accepted = found.suggestion or self.accepted()
            return replace(found, pointer=place + found.pointer, code="invalid_params", suggestion=accepted)
        return None

    def _hold_rules(self) -> None:
        """A rule that is never followed is a mistake of whoever wrote it."""
        if problems := refused(check_rules(self.draft.retry)):
            raise Misconfigured(f"the job {self.draft.name!r}: its retries name no such error", problems)

    def _hold_schedule(self) -> None:
        """So is a schedule whose every run would fail."""
        if self.draft.schedule is None:
            return
        if problem := self.misfit(self.draft.schedule.given, "/schedule/params"):
            said = (
                f"the job {self.draft.name!r}: its function does not fit the params of its schedule: {problem.message}"
            )
            raise Misconfigured(said, [problem])

    def accepted(self) -> str:
        """The names of the parameters."""
        return "parameters: " + ", ".join(self.params.__struct_fields__) if self.params.__struct_fields__ else "none"


def job(name: str, **options: Any) -> Callable[[Callable[P, Awaitable[None]]], Function[P]]:
    """Make an async function a job, to be given to ``open_service(functions=[...])``.

    The function gets a ``RunContext``, and the parameters of the run by name. Raise ``GiveUp`` or ``RetryLater`` to decide
    about retries; any other exception is retried by the job's policy.

    Args:
        name: The name of the job, and of the function in the store.
        options: What else a ``JobDraft`` has: queue, priority, retry, schedule, timeout_s and so on.
    """

    def declare(call: Callable[P, Awaitable[None]]) -> Function[P]:
        return Function(call, JobDraft(name=name, python=name, **options))

    return declare


def _params_of(call: Callable[..., Any], name: str) -> type[msgspec.Struct]:
    """The parameters after the context as a record, so that they can be converted and told of."""
    hints = get_type_hints(call)
    fields: list[Any] = []
    for parameter in list(inspect.signature(call).parameters.values())[1:]:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise Misconfigured(f"the job {name!r}: its function must name each parameter, and {parameter} does not")
        kind = hints.get(parameter.name, Any)
        has_none = parameter.default is parameter.empty
        fields.append((parameter.name, kind) if has_none else (parameter.name, kind, parameter.default))
    return msgspec.defstruct("Params", fields, frozen=True, kw_only=True, forbid_unknown_fields=True)


class Functions:
    """The engine that calls functions, each in its caller's task. Many run at once, so who calls watches the lease for all."""

    def __init__(self, functions: Iterable[Function[Any]] = ()) -> None:
        self._by_name: dict[str, Function[Any]] = {}
        self._working = 0
        for each in functions:
            name = each.draft.python or ""
            if name in self._by_name:
                raise Misconfigured(f"two functions are called {name!r}")
            self._by_name[name] = each

    @property
    def drafts(self) -> Sequence[JobDraft]:
        """The jobs that the functions are."""
        return [each.draft for each in self._by_name.values()]

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        function = self._by_name.get(work.function or "")
        if function is None:
            return Failed(RunError("unknown_function", f"this worker has no function {work.function!r}"))
        try:
            params = function.converted(work.params)
        except msgspec.ValidationError as error:
            return Failed(RunError("invalid_params", str(error)))
        self._working += 1
        try:
            return await self._call(function, RunContext(work, reports), params)
        finally:
            self._working -= 1

    async def _call(self, function: Function[Any], context: RunContext, params: dict[str, Any]) -> Result:
        try:
            await function.call(context, **params)
        except GiveUp as error:
            return Failed(RunError("gave_up", _text_of(error)))
        except RetryLater as error:
            return Failed(RunError("retry_later", _text_of(error), retryable=True, retry_after_s=error.after_s))
        except BaseException as error:
            if not _is_its_own(error):
                raise
            context.log("".join(traceback.format_exception(error))[-TRACE_CHARS_MAX:], level="error")
            return Failed(RunError("function_error", f"{type(error).__name__}: {_text_of(error)}", retryable=True))
        return Succeeded(Figures())

    def misfits(self, name: str, params: dict[str, Any], place: str) -> list[Problem]:
        """What is wrong with calling a function so; nothing if this worker does not know it."""
        function = self._by_name.get(name)
        problem = function.misfit(params, place) if function is not None else None
        return [problem] if problem is not None else []

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(working=self._working)


def _is_its_own(error: BaseException) -> bool:
    """Whether an error is the end of the attempt and of no more: anything but Trio's cancellation and Ctrl-C. A function that
    says ``sys.exit()``, or calls a library that does, has not the whole program to end.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_its_own, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, (Exception, SystemExit))


def _text_of(error: BaseException) -> str:
    """What an error says; some cannot even do that."""
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - an error of the function's own, as much as the one that it is about
        return f"(what it says cannot be read: {type(broken).__name__})"
