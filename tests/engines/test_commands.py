"""Commands, carried by their engine alone."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import gone, is_alive

from etlplus.engines import commands
from etlplus.engines.attempt import LEASE_OVER
from etlplus.engines.commands import Commands
from etlplus.engines.contract import Lease, Work
from etlplus.jobs.kinds import Command
from etlplus.jobs.outcome import Failed, Result, Succeeded

END_WITHIN_S = 60.0
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: open('told', 'w').close())\n"
    "print(os.getpid(), flush=True)\n"
    "while True: time.sleep(600)"
)


class Lines:
    """Keeps what a command wrote."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[str](100)
        self.all: list[str] = []

    def log(self, text: str, level: str = "info") -> None:
        self.all.append(text)
        self._send.send_nowait(text)

    async def first(self) -> str:
        return await self._receive.receive()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_command_whose_lease_is_over_gets_no_grace(tmp_path: Path, cancelled: bool) -> None:
    """It would have had ten minutes to end in order, or has begun to have them; it is gone when the attempt has ended, and that
    is at once.
    """
    command = Command(argv=(sys.executable, "-c", STUBBORN), stop_grace_s=600)
    work = Work(run_id="r", attempt=1, job_id="j", job_name="j", plan={}, command=command, base_dir=str(tmp_path))
    lease, lines, results = Lease(math.inf), Lines(), list[Result]()

    async def carry() -> None:
        results.append(await Commands(tmp_path).execute(work, lease, reports))

    reports: Any = lines
    with trio.fail_after(END_WITHIN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry)
            pid = int(await lines.first())
            assert is_alive(pid)
            if cancelled:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    while not (tmp_path / "told").exists():  # noqa: ASYNC110 - a file tells nobody
                        await trio.sleep(0.005)
            lease.revoke()
    assert results == ([] if cancelled else [LEASE_OVER])
    assert not is_alive(pid)


async def test_a_command_is_told_what_its_run_is_for(tmp_path: Path) -> None:
    """Run, attempt, parameters and the stretch of data, in its environment; without a stretch these variables are not there."""
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ETLPLUS_')}))"
    stretch = ("2026-03-28T00:00:00+00:00", "2026-03-29T00:00:00+00:00")
    for interval in (stretch, None):
        work = Work(
            run_id="r", attempt=2, job_id="j", job_name="j", plan={}, params={"day": "x"}, interval=interval,
            command=Command(argv=(sys.executable, "-c", code)), base_dir=str(tmp_path),
        )  # fmt: skip
        lines = Lines()
        reports: Any = lines
        result = await Commands(tmp_path).execute(work, Lease(math.inf), reports)
        assert isinstance(result, Succeeded)
        told = {"ETLPLUS_RUN_ID": "r", "ETLPLUS_ATTEMPT": "2", "ETLPLUS_PARAMS": '{"day":"x"}'}
        bounds = {"ETLPLUS_INTERVAL_START": stretch[0], "ETLPLUS_INTERVAL_END": stretch[1]}
        assert json.loads(await lines.first()) == told | (bounds if interval else {})


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


async def carried(
    folder: Path, *argv: str, params: dict[str, Any] | None = None, **options: Any
) -> tuple[Result, list[str]]:
    """How a command ended that ran in a folder, and what it wrote. No record of it may stay, and no pipe of ours."""
    records = folder / "records"
    records.mkdir()
    pipes = open_files()
    lines: Any = Lines()
    command = Command(argv=argv, **options)
    work = Work(
        run_id="r", attempt=1, job_id="j", job_name="j", command=command, params=params or {}, base_dir=str(folder)
    )
    with trio.fail_after(END_WITHIN_S):
        result = await Commands(records).execute(work, Lease(math.inf), lines)
    assert not any(records.iterdir())
    assert open_files() <= pipes
    return result, lines.all


def failure_of(result: Result) -> tuple[str, bool, str]:
    assert isinstance(result, Failed), result
    return result.error.code, result.error.retryable, result.error.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"argv": ("/no/such/program",)}, "/no/such/program could not be started: No such file"),
        ({"argv": ("./text",)}, "./text could not be started: Permission denied"),
        ({"argv": ("./shebang",)}, "./shebang could not be started: No such file"),
        ({"argv": ("true",), "cwd": "none"}, "none: No such file"),
        ({"argv": ("true", "\0")}, "null byte"),
        ({"argv": ("true",), "env": {"A=B": ""}}, "illegal environment variable name"),
        ({"argv": ("true", "x" * 10_000_000)}, "Argument list too long"),
    ],
)
async def test_a_command_that_cannot_be_started_says_so(tmp_path: Path, options: Any, said: str) -> None:
    """It would not be otherwise at another try."""
    (tmp_path / "text").write_text("no program")
    (tmp_path / "shebang").write_text("#!/no/such/interpreter\n")
    (tmp_path / "shebang").chmod(0o755)
    result, _ = await carried(tmp_path, *options.pop("argv"), **options)
    code, retryable, message = failure_of(result)
    assert (code, retryable) == ("command_not_started", False)
    assert said in message


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(127)", "status 127"),
        ("import os; os.kill(os.getpid(), 11)", "status 139 (SIGSEGV)"),
        ("import os; os.close(1); os.close(2); os._exit(3)", "status 3"),
        ("import os; os.write(1, b'\\xff\\xfe'); os._exit(3)", "status 3\n\ufffd\ufffd"),
    ],
)
async def test_a_command_that_fails_says_how(tmp_path: Path, code: str, said: str) -> None:
    """By a status, by a signal, without a word, or with words that are no text."""
    code, retryable, message = failure_of((await carried(tmp_path, sys.executable, "-c", code))[0])
    assert (code, retryable) == ("command_failed", True)
    assert message.endswith(said)


async def test_a_command_gets_any_text_in_its_environment(tmp_path: Path) -> None:
    """Names and values alike."""
    code = "import os; print(os.environ['\u00dcber'])"
    result, lines = await carried(tmp_path, sys.executable, "-X", "utf8", "-c", code, env={"\u00dcber": "\u2603"})
    assert isinstance(result, Succeeded)
    assert lines == ["\u2603"]


async def test_nobody_waits_for_what_left_a_command_and_holds_its_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command has ended, and its result counts; all that it wrote is heard, also without a line's end."""
    monkeypatch.setattr(commands, "REST_WITHIN_S", 0.1)
    code = (
        "import subprocess, sys\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        "print(subprocess.Popen(sleeper, start_new_session=True).pid, end='', flush=True)"
    )
    result, lines = await carried(tmp_path, sys.executable, "-c", code)
    try:
        assert isinstance(result, Succeeded)
        assert is_alive(int(lines[0]))
    finally:
        os.kill(int(lines[0]), signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="the system cannot do that")
async def test_a_command_that_kills_its_guardian_ends_with_it(tmp_path: Path) -> None:
    """Nobody else would end it, and another attempt may begin."""
    code = "import os, time; print(os.getpid(), flush=True); os.kill(os.getppid(), 9); time.sleep(600)"
    result, lines = await carried(tmp_path, sys.executable, "-c", code)
    assert failure_of(result)[2].endswith(f"status -9 (SIGKILL)\n{lines[0]}")
    await gone(int(lines[0]))
