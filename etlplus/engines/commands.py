"""
The engine that runs commands: each attempt is a program of its own, with its output captured line by line.

The program never outlives the daemon: a guardian (``guardian.py``) holds it, and ends it when the daemon says so or dies. What
it writes becomes the attempt's log, standard error as level ``error``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from etlplus.engines import guardian
from etlplus.engines.attempt import LEASE_OVER
from etlplus.engines.contract import EngineStatistics, Lease, Reports, Work
from etlplus.engines.survivors import remember
from etlplus.jobs.kinds import Command
from etlplus.jobs.outcome import Failed, Figures, Result, RunError, Succeeded

GUARDIAN = Path(guardian.__file__)
PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What a command gets of the daemon's own environment; secrets of the daemon are not its business."""
LINE_BYTES_MAX = 64 * 1024
LAST_LINES = 5
LINES_AT_ONCE = 100
"""So many lines are taken before others have their turn."""
TERMINATE, KILL = b"t", b"k"
"""What the guardian is told; the end of file is as good as the second."""
REST_WITHIN_S = 5.0
"""What a command wrote lies in its pipes when it has ended, and is read at once; whoever holds them open after that is not waited
for.
"""
SPARE_GRACE_S = 2.0
"""What the guardian gets beyond the command's own grace."""


class Commands:
    """See the module.

    Args:
        records: Folder in which running commands are remembered, so that a later daemon ends those of a dead one.
    """

    def __init__(self, records: Path) -> None:
        self._records = records
        self._working = self._spawned = 0

    async def execute(self, work: Work, lease: Lease, reports: Reports) -> Result:
        command = work.command
        assert command is not None, "the workshop gives commands only"
        folder = Path(work.base_dir or ".") / command.cwd
        try:
            process = await _start(command, folder, work)
        except (OSError, ValueError) as error:  # the second: texts that no system can hand on
            said = error.strerror if isinstance(error, OSError) else error
            return Failed(RunError("command_not_started", f"in {folder}: {said}"))
        record = remember(self._records, process.pid)
        self._working += 1
        self._spawned += 1
        try:
            return await _Execution(process, command, reports).carry(lease)
        finally:
            await _end(process, command.stop_grace_s, lease)
            record.unlink(missing_ok=True)
            self._working -= 1

    def statistics(self) -> EngineStatistics:
        return EngineStatistics(working=self._working, spawned=self._spawned)


async def _start(command: Command, folder: Path, work: Work) -> trio.Process:
    """Shielded: a started process is never forgotten half-way."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    told = {
        "ETLPLUS_RUN_ID": work.run_id,
        "ETLPLUS_ATTEMPT": str(work.attempt),
        "ETLPLUS_PARAMS": msgspec.json.encode(work.params).decode(),
    }
    if work.interval is not None:
        told |= {"ETLPLUS_INTERVAL_START": work.interval[0], "ETLPLUS_INTERVAL_END": work.interval[1]}
    process: trio.Process | None = None
    with trio.CancelScope(shield=True):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-I", "-S", str(GUARDIAN), str(command.stop_grace_s), *command.argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=environment | told | command.env,
            start_new_session=True,
        )
    assert process is not None  # the scope is never cancelled
    return process


async def _end(process: trio.Process, grace_s: float, lease: Lease) -> None:
    """Have the guardian end the command, and reap it; a guardian that does not is killed with its group. The grace ends with the
    lease: from then on others may have the run.
    """

    async def cut_short() -> None:
        await lease.wait_over()
        await _say(process, KILL)

    with trio.CancelScope(shield=True):
        async with trio.open_nursery() as nursery:
            await _say(process, TERMINATE)
            nursery.start_soon(cut_short)
            with trio.move_on_after(grace_s + SPARE_GRACE_S):
                await process.wait()
            nursery.cancel_scope.cancel()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()


async def _say(process: trio.Process, word: bytes) -> None:
    """Tell the guardian something, if it is there still."""
    assert process.stdin is not None
    with suppress(trio.BrokenResourceError):
        await process.stdin.send_all(word)


class _Execution:
    """One command at work."""

    def __init__(self, process: trio.Process, command: Command, reports: Reports) -> None:
        self._process = process
        self._command = command
        self._reports = reports
        self._last: deque[str] = deque(maxlen=LAST_LINES)

    async def carry(self, lease: Lease) -> Result:
        """Hear the command out, unless the lease is over first."""
        result: Result = LEASE_OVER
        async with trio.open_nursery() as nursery:

            async def watch_lease() -> None:
                await lease.wait_over()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch_lease)
            result = self._result(await self._heard_out())
            nursery.cancel_scope.cancel()
        return result

    async def _heard_out(self) -> int:
        """How the command ended, once all that it wrote is heard."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_lines, self._process.stdout, self._said("info"))
            nursery.start_soon(_lines, self._process.stderr, self._said("error"))
            status = await self._process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + REST_WITHIN_S
        return status

    def _said(self, level: str) -> Callable[[str], None]:
        def said(line: str) -> None:
            self._last.append(line)
            self._reports.log(line, level)

        return said

    def _result(self, status: int) -> Result:
        if status == 0:
            return Succeeded(Figures())
        if status == -guardian.NOT_STARTED:
            return Failed(RunError("command_not_started", "\n".join(self._last)))
        message = "\n".join([f"{self._command.argv[0]} ended with status {_named(status)}", *self._last])
        return Failed(RunError("command_failed", message, retryable=True))


def _named(status: int) -> str:
    """A status, and the signal that it stands for, as shells have it; a negative one is the guardian's own."""
    number = status - 128 if status > 128 else -status
    return f"{status} ({signal.Signals(number).name})" if number in set(signal.Signals) else str(status)


async def _lines(stream: trio.abc.ReceiveStream, said: Callable[[str], None]) -> None:
    """Give out whole lines; one that does not end is given out in pieces, and the last piece whatever ends this."""
    held = b""
    try:
        async for part in stream:
            *whole, held = (held + bytes(part)).split(b"\n")
            for number, line in enumerate(whole, 1):
                said(line.decode(errors="replace").rstrip("\r"))
                if not number % LINES_AT_ONCE:
                    await trio.lowlevel.checkpoint()
            while len(held) > LINE_BYTES_MAX:
                said(held[:LINE_BYTES_MAX].decode(errors="replace"))
                held = held[LINE_BYTES_MAX:]
    finally:
        if held:
            said(held.decode(errors="replace"))
