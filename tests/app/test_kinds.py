"""Jobs that call functions of the program or run commands, carried by the whole service."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import trio

import etlplus
from etlplus.actors.reports import LINES_MAX
from etlplus.errors import Invalid, Misconfigured
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import ErrorRule, JobDraft, NewRun, RetryPolicy, Run, RunState
from etlplus.jobs.outcome import MESSAGE_CHARS_MAX
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings, Shutdown

END_WITHIN_S = 60.0
AT_ONCE = RetryPolicy(attempts_max=2, base_s=0, cap_s=0)


@asynccontextmanager
async def opened(folder: Path, *functions: Any, calls_max: int = 500, drain_s: float = 10) -> AsyncGenerator[Service]:
    settings = Settings(
        data_dir=str(folder),
        engine=Engine(slots=1, calls_max=calls_max, spares=False),
        shutdown=Shutdown(drain_s=drain_s),
    )
    async with etlplus.open_service(settings, functions=functions) as service:
        yield service


async def ended(service: Service, run_id: str) -> Run:
    with trio.fail_after(END_WITHIN_S):
        async with service.events.watch((f"run:{run_id}",)) as feed:
            if not feed.snapshot.runs[0].finished:
                async for encoded in feed:
                    if b'"finished":true' in encoded or (await service.house.store.run(run_id)).state.is_final:
                        break
    return await service.house.store.run(run_id)


async def started(service: Service, job: str, **params: Any) -> str:
    return (await service.runs.start(job, params)).id


async def lines_of(service: Service, run: Run) -> list[tuple[str, str]]:
    return [(line.level, line.text) for line in await service.house.store.log_tail(run.id, run.attempt)]


async def test_a_function_gets_its_parameters_with_their_types_and_what_it_logs_is_kept(tmp_path: Path) -> None:
    """Text from a document becomes the number that the function declares; lines and success are stored."""
    seen: list[Any] = []

    @etlplus.job("add")
    async def add(context: etlplus.RunContext, *, numbers: list[int], times: float = 2) -> None:
        seen.append((sum(numbers) * times, context.attempt))
        context.log("added")
        context.log("with care", level="warning")

    async with opened(tmp_path, add) as service:
        run = await ended(service, await started(service, "add", numbers=[1, 2]))
        assert run.state is RunState.SUCCEEDED
        assert await lines_of(service, run) == [("info", "added"), ("warning", "with care")]
    assert seen == [(6, 1)]


async def test_errors_of_a_function_are_retried_given_up_or_put_off_as_it_says(tmp_path: Path) -> None:
    """Any exception is retried by the policy, GiveUp is not, RetryLater says when; the traceback is in the log."""

    @etlplus.job("fail", retry=AT_ONCE)
    async def fail(context: etlplus.RunContext, how: str) -> None:
        if how == "hopeless":
            raise etlplus.GiveUp("no such customer")
        if how == "later":
            raise etlplus.RetryLater("busy", after_s=3600)
        raise LookupError("oh")

    async with opened(tmp_path, fail) as service:
        crashed = await ended(service, await started(service, "fail", how="crash"))
        assert (crashed.state, crashed.attempt) == (RunState.FAILED, 2)
        assert crashed.error is not None
        assert crashed.error.message == "LookupError: oh"
        ((level, text),) = await lines_of(service, crashed)
        assert level == "error"
        assert text.startswith("Traceback")
        hopeless = await ended(service, await started(service, "fail", how="hopeless"))
        assert (hopeless.state, hopeless.attempt) == (RunState.FAILED, 1)
        later = await started(service, "fail", how="later")
        with trio.fail_after(END_WITHIN_S):
            while (run := await service.house.store.run(later)).state is not RunState.SCHEDULED:
                await trio.lowlevel.checkpoint()
        assert (run.run_at - service.house.now()).total_seconds() > 3500


class Mute(Exception):
    """An error that cannot even say what it is."""

    def __str__(self) -> str:
        raise ValueError("no text")


async def _leave_a_nursery(context: etlplus.RunContext) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_leave, context)


async def _leave(context: etlplus.RunContext) -> None:
    sys.exit(3)


async def _be_mute(context: etlplus.RunContext) -> None:
    raise Mute


async def _go_on_and_on(context: etlplus.RunContext) -> None:
    raise LookupError("x" * 5_000_000)


async def _be_vague(context: etlplus.RunContext) -> None:
    raise etlplus.RetryLater("busy", after_s=cast("Any", "60"))


async def _count_wrongly(context: etlplus.RunContext) -> None:
    context.progress(float("nan"))


async def test_lines_that_come_faster_than_they_can_be_kept_leave_a_line_in_their_place(tmp_path: Path) -> None:
    """It says how many they were, and those after it have the numbers that they would have had."""
    more = LINES_MAX + 5

    @etlplus.job("flood")
    async def flood(context: etlplus.RunContext) -> None:
        for number in range(1, more + 1):
            context.log(f"line {number}")

    async with opened(tmp_path, flood) as service:
        run = await ended(service, await started(service, "flood"))
        log = await service.runs.log(run.id, limit=2)
        assert [(line.number, line.level, line.text.partition(" are")[0]) for line in log.items] == [
            (5, "warning", "(5 lines"),
            (6, "info", "line 6"),
        ]
        assert log.lines == more
        assert (await service.runs.log_tail(run.id, limit=1)).items[0].number == more


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (_leave, "SystemExit: 3"),
        (_leave_a_nursery, "BaseExceptionGroup: "),
        (_be_mute, "Mute: (what it says cannot be read: ValueError)"),
        (_go_on_and_on, "LookupError: xxx"),
        (_be_vague, "TypeError: after_s is a number of seconds, not '60'"),
        (_count_wrongly, "ValueError: progress is a share from 0.0 to 1.0, not nan"),
    ],
)
async def test_whatever_a_function_does_in_error_ends_its_attempt_and_no_more(
    tmp_path: Path, call: Any, message: str
) -> None:
    """One that exits, one whose error says nothing or far too much, one that says nonsense: each has failed with a sentence of
    bounded length, and the house goes on.
    """
    wrong = etlplus.job("wrong", retry=RetryPolicy(attempts_max=1))(call)

    @etlplus.job("right")
    async def right(context: etlplus.RunContext) -> None:
        context.log(cast("Any", 5), level=cast("Any", 7))
        context.progress(1, phase=cast("Any", None))

    async with opened(tmp_path, wrong, right) as service:
        run = await ended(service, await started(service, "wrong"))
        assert run.error is not None
        assert (run.state, run.error.code) == (RunState.FAILED, "function_error")
        assert run.error.message.startswith(message)
        assert len(run.error.message) <= MESSAGE_CHARS_MAX
        after = await ended(service, await started(service, "right"))
        assert (after.state, await lines_of(service, after)) == (RunState.SUCCEEDED, [("7", "5")])


async def test_a_parameter_of_the_wrong_type_is_refused_where_the_function_is_known(tmp_path: Path) -> None:
    """The complaint names it, and no run is made; a run that was made elsewhere fails at once, and is not tried again."""

    @etlplus.job("add", retry=AT_ONCE)
    async def add(context: etlplus.RunContext, number: int) -> None:
        raise AssertionError("must not be called")

    wrong: list[tuple[dict[str, Any], str, str]] = [
        ({"number": "x"}, "Expected `int`, got `str`", "number"),
        ({}, "Object missing required field `number`", "number"),
        ({"number": 1, "size": 2}, "Object contains unknown field `size`", "size"),
    ]
    async with opened(tmp_path, add) as service:
        for params, complaint, name in wrong:
            with pytest.raises(Invalid) as refused:
                await service.runs.start("add", params)
            (problem,) = refused.value.problems
            assert (problem.message, problem.pointer, problem.code) == (complaint, f"/params/{name}", "invalid_params")
            assert problem.suggestion in ("parameters: number", "accepted: number")
        assert (await service.runs.list()).items == []
        job = await service.house.store.job_named("add")
        assert job is not None
        made = await service.house.store.enqueue(
            [NewRun(job_id=job.id, params=each) for each, *_ in wrong], now=service.house.now()
        )
        for run, (_, complaint, _) in zip(made, wrong, strict=True):
            run = await ended(service, run.id)
            assert (run.state, run.attempt) == (RunState.FAILED, 1)
            assert run.error is not None
            assert run.error.message.startswith(complaint)


async def test_many_calls_run_at_once_up_to_their_limit_and_beside_the_slots(tmp_path: Path) -> None:
    """With one slot and room for five calls, five functions wait for each other; a sixth waits for room."""
    inside = 0
    most = 0
    met = trio.Event()

    @etlplus.job("meet")
    async def meet(context: etlplus.RunContext) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 5:
            met.set()
        await met.wait()
        inside -= 1

    async with opened(tmp_path, meet, calls_max=5) as service:
        runs = [await started(service, "meet") for _ in range(6)]
        assert [(await ended(service, run)).state for run in runs] == [RunState.SUCCEEDED] * 6
    assert most == 5


async def test_a_call_is_cancelled_by_a_person_timed_out_by_its_job_and_returned_by_a_stop(tmp_path: Path) -> None:
    """Each ends as what it is, and a run that was returned is not spent."""
    begun = trio.Event()

    @etlplus.job("wait")
    async def wait(context: etlplus.RunContext) -> None:
        begun.set()
        await trio.sleep_forever()

    @etlplus.job("late", timeout_s=0.01, retry=RetryPolicy(attempts_max=1))
    async def late(context: etlplus.RunContext) -> None:
        await trio.sleep_forever()

    async with opened(tmp_path, wait, late, drain_s=0) as service:
        cancelled = await started(service, "wait")
        await begun.wait()
        await service.runs.cancel(cancelled)
        assert (await ended(service, cancelled)).state is RunState.CANCELLED
        run = await ended(service, await started(service, "late"))
        assert run.error is not None
        assert run.error.code == "timeout"
        begun = trio.Event()
        returned = await started(service, "wait")
        await begun.wait()
    async with opened(tmp_path) as service:
        run = await service.house.store.run(returned)
        assert (run.state, run.attempts_spent) == (RunState.QUEUED, 0)


async def test_runs_of_a_function_wait_for_a_worker_that_offers_it(tmp_path: Path) -> None:
    """A service without the function leaves them alone; one that has it carries them, and stores changed options."""
    called: list[str] = []

    @etlplus.job("greet")
    async def greet(context: etlplus.RunContext, name: str) -> None:
        called.append(name)

    async with opened(tmp_path, greet) as service:
        assert (await ended(service, await started(service, "greet", name="Ada"))).state is RunState.SUCCEEDED
    async with opened(tmp_path) as service:
        waiting = await started(service, "greet", name="Blaise")
    urgent = etlplus.job("greet", priority=1)(greet.call)
    async with opened(tmp_path, urgent) as service:
        assert (await ended(service, waiting)).state is RunState.SUCCEEDED
        job = await service.jobs.get("greet")
        assert (job.version, job.priority) == (2, 1)
    assert called == ["Ada", "Blaise"]


def test_a_function_must_name_its_parameters() -> None:
    """One that takes anything could not be checked before it is called."""
    with pytest.raises(Misconfigured, match="greedy"):

        @etlplus.job("greedy")
        async def greedy(context: etlplus.RunContext, **everything: Any) -> None: ...


def test_a_function_whose_rules_name_no_error_is_refused() -> None:
    """As it is declared, since a rule about it would never be followed."""
    with pytest.raises(Misconfigured) as refused:
        etlplus.job("x", retry=RetryPolicy(rules=(ErrorRule(codes=("function_eror",)),)))(_leave)
    (problem,) = refused.value.problems
    assert (problem.pointer, problem.suggestion) == ("/retry/rules/0/codes/0", "did you mean 'function_error'?")


async def test_a_type_that_only_the_program_knows_is_no_reason_to_fall(tmp_path: Path) -> None:
    """A parameter that can never fit is refused like any other, and the others are judged beside it."""

    @etlplus.job("odd")
    async def odd(context: etlplus.RunContext, number: int, where: Path = Path()) -> None: ...

    async with opened(tmp_path, odd) as service:
        for params, name in (({"number": 1, "where": "here"}, "where"), ({"number": "x"}, "number")):
            with pytest.raises(Invalid) as refused:
                await service.runs.start("odd", params)
            assert refused.value.problems[0].pointer == f"/params/{name}"


def is_at_work(pid: str) -> bool:
    """Whether there is such a process, other than as a zombie that nobody has reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_job(name: str, code: str, *arguments: str, **options: Any) -> JobDraft:
    argv: Sequence[str] = (sys.executable, "-c", code, *arguments)
    return JobDraft(name=name, command=Command(argv=tuple(argv), **options), retry=RetryPolicy(attempts_max=1))


async def test_a_command_succeeds_by_its_status_and_its_output_is_the_log(tmp_path: Path) -> None:
    """Standard output and error are kept line by line; parameters and the run's id are in the environment."""
    code = (
        "import json, os, sys\n"
        "print('hello', json.loads(os.environ['ETLPLUS_PARAMS'])['who'], os.environ['COLOR'])\n"
        "print(os.environ['ETLPLUS_RUN_ID'], file=sys.stderr)\n"
        "assert 'ETLPLUS_AUTH__SECRET' not in os.environ"
    )
    async with opened(tmp_path) as service:
        await service.jobs.create(command_job("greet", code, env={"COLOR": "red"}))
        run = await ended(service, await started(service, "greet", who="Ada"))
        assert run.state is RunState.SUCCEEDED
        assert sorted(await lines_of(service, run)) == [("error", run.id), ("info", "hello Ada red")]


async def test_a_command_that_fails_is_told_with_its_last_lines(tmp_path: Path) -> None:
    """The status and the end of the output are in the error; one that cannot be started says why."""
    async with opened(tmp_path) as service:
        await service.jobs.create(command_job("fail", "import sys; print('all is lost'); sys.exit(3)"))
        run = await ended(service, await started(service, "fail"))
        assert run.error is not None
        assert run.error.code == "command_failed"
        assert "status 3" in run.error.message
        assert "all is lost" in run.error.message
        await service.jobs.create(JobDraft(name="none", command=Command(argv=("/no/such/program",)), retry=AT_ONCE))
        run = await ended(service, await started(service, "none"))
        assert run.error is not None
        assert run.error.code == "command_not_started"
        assert "/no/such/program could not be started" in run.error.message


@pytest.mark.slow
async def test_a_cancelled_command_ends_with_everything_that_it_started(tmp_path: Path) -> None:
    """The grandchild is gone, too; a command that ignores SIGTERM is killed after its grace."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(os.getpid(), child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    async with opened(tmp_path) as service:
        await service.jobs.create(command_job("stubborn", code, stop_grace_s=0.1))
        run_id = await started(service, "stubborn")
        with trio.fail_after(END_WITHIN_S):
            while not (lines := await service.house.store.log_tail(run_id, 1)):
                await trio.lowlevel.checkpoint()
        await service.runs.cancel(run_id)
        assert (await ended(service, run_id)).state is RunState.CANCELLED
        with trio.fail_after(END_WITHIN_S):  # what is killed is gone a moment later
            while any(map(is_at_work, lines[0].text.split())):
                await trio.lowlevel.checkpoint()


async def test_a_job_is_of_one_kind(tmp_path: Path) -> None:
    """None and several are refused with the three names."""
    for options in ({}, {"pipeline": {}, "python": "f"}):
        with pytest.raises(ValueError, match="one of pipeline, python and command"):
            JobDraft(name="x", **options)  # type: ignore[arg-type]
