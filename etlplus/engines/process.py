"""
One child process as the daemon sees it: frames in and out, the last words of its standard error, its memory, its end.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import trio

from etlplus.engines.frames import Cancel, FromChild, GarbledFrame, Ready, ToChild, encode, read_report
from etlplus.engines.survivors import remember

LAST_WORDS_BYTES = 64 * 1024
QUOTED_CHARACTERS = 2000
SEND_WITHIN_S = 5.0
TERMINATE_GRACE_S = 0.5
REAP_WITHIN_S = 10.0
RECEIVE_BYTES = 64 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ChildLost(Exception):
    """The child is gone, or cannot be understood; the message says how and quotes its last words."""


class ChildProcess:
    """A started child. ``drain_errors`` must run beside it, and ``end`` must be called, whatever happened."""

    def __init__(self, process: trio.Process, record: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._record = record
        self._sending = trio.Lock()
        self._last_words: deque[bytes] = deque()
        self._drained = trio.Event()
        self._buffer = bytearray()
        self._taken = 0
        self.pid = process.pid
        self.was_killed = False

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, frame: ToChild) -> None:
        """Write a frame.

        Raises:
            ChildLost: the child does not read any more.
        """
        try:
            with trio.fail_after(SEND_WITHIN_S):
                async with self._sending:
                    await self._stdin.send_all(encode(frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise ChildLost(await self.obituary()) from None
        except trio.TooSlowError:
            raise ChildLost(f"the child did not read for {SEND_WITHIN_S:.0f} s") from None

    async def receive(self) -> FromChild | None:
        """The next frame, or None once the child has closed its end.

        Raises:
            ChildLost: it sent what is no frame; it has been killed.
        """
        self._taken = 0
        try:
            frame = await read_report(self._read)
        except GarbledFrame as error:
            self.kill()
            raise ChildLost(f"the child cannot be understood: {error}; {await self.obituary()}") from error
        del self._buffer[: self._taken]  # only now: a reader that is cancelled inside a frame leaves it whole
        return frame

    async def wait_ready(self, within_s: float) -> None:
        """Wait until the child has loaded its libraries.

        Raises:
            ChildLost: it ended, said something else, or took longer.
        """
        with trio.move_on_after(within_s):
            frame = await self.receive()
            if isinstance(frame, Ready):
                return
            raise ChildLost(await self.obituary())
        raise ChildLost(f"the child was not ready within {within_s:g} s")

    async def drain_errors(self) -> None:
        """Keep the tail of standard error until it is closed. Shielded, since only ``end`` closes it for certain."""
        kept = 0
        with trio.CancelScope(shield=True):
            try:
                async for part in self._stderr:
                    self._last_words.append(bytes(part))
                    kept += len(part)
                    while kept - len(self._last_words[0]) >= LAST_WORDS_BYTES:
                        kept -= len(self._last_words.popleft())
            except trio.ClosedResourceError:
                return
            finally:
                self._drained.set()

    async def obituary(self) -> str:
        """How the child ended, in a sentence, with its last words."""
        with trio.move_on_after(SEND_WITHIN_S):
            await self._process.wait()
            await self._drained.wait()
        code = self._process.returncode
        if code is None:
            how = "the child closed its pipe but did not end"
        elif code < 0:
            how = f"the child was ended by {signal.Signals(-code).name}"
        else:
            how = f"the child ended with code {code}"
        words = b"".join(self._last_words).decode(errors="replace").strip()
        return f"{how}; it said: {words[-QUOTED_CHARACTERS:]}" if words else how

    def rss_bytes(self) -> int:
        """Memory in use now; 0 once it is gone, and where there is no /proc."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1])
        except (OSError, IndexError):
            return 0
        return pages * PAGE_BYTES

    def kill(self) -> None:
        """End it now, with everything it started."""
        self._signal(signal.SIGKILL)

    async def end(self, *, grace_s: float) -> None:
        """Ask it to end, wait, then make it end; reaps it, shielded.

        A process that the system cannot end (it hangs in the kernel) is given up after 10 s. Its record stays, so that the
        next daemon ends it.
        """
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._discard_reports)
                if self.alive and grace_s > 0:
                    with trio.move_on_after(grace_s):
                        await self._ask_to_end()
                        await self._process.wait()
                for number, within_s in ((signal.SIGTERM, TERMINATE_GRACE_S), (signal.SIGKILL, REAP_WITHIN_S)):
                    if self.alive:
                        self._signal(number)
                        with trio.move_on_after(within_s):
                            await self._process.wait()
                nursery.cancel_scope.cancel()
            for stream in (self._stdin, self._stdout, self._stderr):
                await stream.aclose()
        if not self.alive:
            self._record.unlink(missing_ok=True)

    async def _ask_to_end(self) -> None:
        try:
            async with self._sending:
                await self._stdin.send_all(encode(Cancel()))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # it is ending already, or the signals will see to it

    async def _discard_reports(self) -> None:
        """A child that is blocked on a full pipe could not obey."""
        while await self._stdout.receive_some(RECEIVE_BYTES):
            pass

    def _signal(self, number: signal.Signals) -> None:
        if self.alive:
            self.was_killed = True
            os.killpg(self.pid, number)

    async def _read(self, amount: int) -> bytes:
        end = self._taken + amount
        while len(self._buffer) < end:
            part = await self._stdout.receive_some(RECEIVE_BYTES)
            if not part:
                break
            self._buffer += part
        data = bytes(self._buffer[self._taken : end])
        self._taken += len(data)
        return data


async def spawn(command: Sequence[str], records: Path) -> ChildProcess:
    """Start a child in a session of its own, and write it down. Shielded: a started process is never forgotten half-way.

    Raises:
        ChildLost: the operating system refused, or the child could not be written down.
    """
    process: trio.Process | None = None
    try:
        with trio.CancelScope(shield=True):
            process = await trio.lowlevel.open_process(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        assert process is not None  # the scope is never cancelled
        return ChildProcess(process, remember(records, process.pid))
    except OSError as error:
        if process is not None:
            await _discard(process)
        raise ChildLost(f"no child could be started: {error}") from error


async def _discard(process: trio.Process) -> None:
    with trio.CancelScope(shield=True):
        process.kill()
        await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await stream.aclose()
