"""
Nodes as processes: started again whenever they end, until they are let go; and harmed on demand.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import trio

from bench.chaos.node import TRY_AGAIN_EXIT, NodeOptions
from bench.chaos.work import Noted

AGAIN_AFTER_S = 0.5
LOOK_S = 0.05
STOP_WITHIN_S = 120.0
ROOT = Path(__file__).parents[2]


@dataclass(slots=True)
class Node:
    """One node: its options, its present process, and what was done to it (by process number, at which times)."""

    options: NodeOptions
    killed: dict[int, float] = field(default_factory=dict)
    frozen: list[tuple[int, float, float]] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    starts: int = 0
    _process: trio.Process | None = None
    _leave: bool = False
    _pause_s: float = 0.0
    _held: trio.Lock = field(default_factory=trio.Lock)

    @property
    def log(self) -> Path:
        return Path(self.options.folder) / f"{self.options.name}.log"

    @property
    def lives(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def journal(self) -> list[Noted]:
        """What its attempts noted, in order."""
        path = Path(self.options.folder) / f"{self.options.name}.journal"
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [msgspec.json.decode(line, type=Noted) for line in lines]

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What it logged under a name."""
        lines = [msgspec.json.decode(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [line for line in lines if line["event"] == event]

    async def keep(self) -> None:
        """Start it, and again whenever it ends, until ``leave``; its last process has ended then."""
        command = [sys.executable, "-m", "bench.chaos.node", msgspec.json.encode(self.options).decode()]
        while not self._leave:
            self.starts += 1
            with self.log.open("ab") as log:
                self._process = await trio.lowlevel.open_process(
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
            status = await self._process.wait()
            if self._process.pid in self.killed:
                await trio.sleep(self._pause_s)
            elif status != (0 if self._leave else TRY_AGAIN_EXIT):
                self.unexpected.append(f"{self.options.name} ended with status {status}")
            if not self._leave:
                await trio.sleep(AGAIN_AFTER_S)

    async def kill(self, pause_s: float) -> None:
        """kill -9, as soon as it lives; it starts again after ``pause_s``. Frozen, it is thawed before."""
        async with self._held:
            process = await self._living()
            self._pause_s = pause_s
            self.killed[process.pid] = time.time()
            process.kill()

    async def freeze(self, seconds: float) -> None:
        """Stop it where it is, for a while."""
        async with self._held:
            process = await self._living()
            began = time.time()
            process.send_signal(signal.SIGSTOP)
            try:
                await trio.sleep(seconds)
            finally:
                process.send_signal(signal.SIGCONT)
            self.frozen.append((process.pid, began, time.time()))

    async def _living(self) -> trio.Process:
        while self._process is None or not self.lives:  # noqa: ASYNC110 - nobody tells of a start
            await trio.sleep(LOOK_S)
        return self._process

    async def leave(self) -> None:
        """Ask it to stop, in order; as soon as it works, since before that it does not know what to do about a signal."""
        while (process := self._working()) is None:  # noqa: ASYNC110 - nobody tells of a start
            await trio.sleep(LOOK_S)
        self._leave = True
        process.terminate()

    def _working(self) -> trio.Process | None:
        """Its process, once that has become a worker."""
        process = self._process
        if process is None or not self.lives or process.pid not in {noted.pid for noted in self.journal()}:
            return None
        return process

    def end(self) -> None:
        """Whatever happened: leave no process behind."""
        self._leave = True
        if self._process is not None and self.lives:
            self._process.kill()
