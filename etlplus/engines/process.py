"""
One child process as the daemon sees it: frames in and out, the last words of its standard error, its memory, its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from pathlib import Path

import trio

from etlplus.engines.frames import Cancel, FromChild, Ready, ToChild, encode, read_report

LAST_WORDS_BYTES = 64 * 1024
SEND_WITHIN_S = 5.0
READY_WITHIN_S = 60.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ChildLost(Exception):
    """The child is gone, or cannot be understood; the message says how and quotes its last words."""


class ChildProcess:
    """A started child. ``end`` must be called, whatever happened; it leaves no process behind."""

    def __init__(self, process: trio.Process, records: Path) -> None:
        self._process = process
        self._record = records / str(process.pid)
        self._last_words: deque[bytes] = deque()
        self._buffer = bytearray()
        self.pid = process.pid
        self.rss_peak_bytes = 0
        self.fresh = True
        self._record.write_text(start_time(process.pid) or "")

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, frame: ToChild) -> None:
        """Write a frame.

        Raises:
            ChildLost: the child does not read any more.
        """
        assert self._process.stdin is not None
        try:
            with trio.fail_after(SEND_WITHIN_S):
                await self._process.stdin.send_all(encode(frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise ChildLost(f"the child does not read: {error!r}") from error

    async def receive(self) -> FromChild | None:
        """The next frame, or None once the child has closed its end."""
        return await read_report(self._read)

    async def wait_ready(self) -> None:
        """Wait until the child has loaded its libraries.

        Raises:
            ChildLost: it ended, said something else, or took longer than a minute.
        """
        with trio.move_on_after(READY_WITHIN_S):
            frame = await self.receive()
            if isinstance(frame, Ready):
                return
            raise ChildLost(await self.obituary())
        raise ChildLost(f"the child was not ready within {READY_WITHIN_S:.0f} s")

    async def drain_errors(self) -> None:
        """Keep the tail of standard error until the child closes it."""
        assert self._process.stderr is not None
        kept = 0
        async for part in self._process.stderr:
            self._last_words.append(bytes(part))
            kept += len(part)
            while kept - len(self._last_words[0]) > LAST_WORDS_BYTES:
                kept -= len(self._last_words.popleft())

    async def obituary(self) -> str:
        """How the child ended, in a sentence, with its last words."""
        with trio.move_on_after(SEND_WITHIN_S):
            await self._process.wait()
        code = self._process.returncode
        if code is None:
            how = "the child closed its pipe but did not end"
        elif code < 0:
            how = f"the child was ended by {signal.Signals(-code).name}"
        else:
            how = f"the child ended with code {code}"
        words = b"".join(self._last_words).decode(errors="replace").strip()
        return f"{how}; it said: {words[-2000:]}" if words else how

    def rss_bytes(self) -> int:
        """Memory in use now; 0 once it is gone or where /proc is not to be had."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        self.rss_peak_bytes = max(self.rss_peak_bytes, pages * PAGE_BYTES)
        return pages * PAGE_BYTES

    def kill(self) -> None:
        """End it now, with everything it started."""
        if self.alive:
            os.killpg(self.pid, signal.SIGKILL)

    async def end(self, *, grace_s: float) -> None:
        """Ask it to end, wait, then make it end; always reaps it. Call under a shield."""
        if self.alive:
            with trio.move_on_after(grace_s):
                try:
                    await self.send(Cancel())
                except ChildLost:
                    self.kill()
                await self._process.wait()
        if self.alive:
            self.kill()
            await self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                await stream.aclose()
        self._record.unlink(missing_ok=True)

    async def _read(self, amount: int) -> bytes:
        assert self._process.stdout is not None
        while len(self._buffer) < amount:
            part = await self._process.stdout.receive_some(65536)
            if not part:
                break
            self._buffer += part
        data, self._buffer = bytes(self._buffer[:amount]), self._buffer[amount:]
        return data


async def spawn(records: Path, module: str) -> ChildProcess:
    """Start a child in a session of its own.

    Raises:
        ChildLost: the operating system refused.
    """
    command = [sys.executable, "-m", module]
    pipe = {"stdin": -1, "stdout": -1, "stderr": -1}
    try:
        process = await trio.lowlevel.open_process(command, start_new_session=True, **pipe)  # pyright: ignore[reportArgumentType] - the stub of Trio wants literals
    except OSError as error:
        raise ChildLost(f"no child could be started: {error}") from error
    return ChildProcess(process, records)


def start_time(pid: int) -> str | None:
    """When a process started, as the system counts it, to tell it from a later one with the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def kill_survivors(records: Path) -> list[int]:
    """End the children that a dead daemon left in ``records``; they end themselves within 2 s, this makes sure."""
    killed: list[int] = []
    for record in records.iterdir():
        pid = int(record.name)
        if (started := start_time(pid)) is not None and started == record.read_text():
            os.killpg(pid, signal.SIGKILL)
            killed.append(pid)
        record.unlink()
    return killed
