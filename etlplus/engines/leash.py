"""
The child's half of the lifeline: its pipes to the daemon, and what makes it end when it must.

A thread reads the control pipe while the main thread loads. When the pipe ends, the daemon is gone: the load is interrupted,
and if it does not obey in time the process ends anyway, which rolls back just as well. That end is left to the kernel's timer
(SIGALRM, not handled), because a load that sits in C code and keeps the interpreter's lock would stop a thread from doing it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from etlplus.engines.clock import boottime_s
from etlplus.engines.control import Interrupted
from etlplus.engines.frames import (
    Cancel,
    Extend,
    Freeze,
    FromChild,
    GarbledFrame,
    Reported,
    Stored,
    ToChild,
    encode,
    read_order,
)
from etlplus.jobs.outcome import Progress

OBEY_WITHIN_S = 1.5
"""From the interruption to the certain end; with the time to notice it, an orphan is gone within 2 s."""
LOOK_S = 1.0
"""A suspended machine does not wake a sleeper at the deadline, so the clock is looked at this often."""
REPEAT_S = 0.2
"""A query that starts just after its interruption has not heard it, so it is interrupted again."""
TIMER_S_MAX = 1e8
FAULT = "ETLPLUS_FAULT"
"""For crash tests: ``POINT=kill`` or ``POINT=stop`` makes the process do that to itself when the load comes to the point."""
_FAULTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Channel:
    """The child's side of the pipes. Opening it moves standard output away, so that a stray print harms nobody."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=0)
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def receive(self) -> ToChild | None:
        """The next frame, or None once the daemon is gone."""
        return read_order(self._read)

    def send(self, frame: FromChild) -> None:
        """Write a frame; a daemon that is gone is noticed by the reader."""
        data = memoryview(encode(frame))
        with self._lock, contextlib.suppress(BrokenPipeError):
            while data:
                data = data[self._out.write(data) :]

    def _read(self, amount: int) -> bytes:
        parts = bytearray()
        while len(parts) < amount and (part := self._in.read(amount - len(parts))):
            parts += part
        return bytes(parts)


class Leash:
    """What the load may ask, and what ends it; see ``control.Control``."""

    def __init__(self, channel: Channel, deadline: float) -> None:
        self._channel = channel
        self._deadline = deadline
        self._reason = ""
        self._ends_for_certain = False
        self._callbacks: list[Callable[[], None]] = []
        self._stored = False
        self._changed = threading.Condition()

    def start(self) -> None:
        """Hold the load from here on: hear the daemon, and watch the deadline."""
        self._set_timer(self._deadline - boottime_s() + OBEY_WITHIN_S)
        for duty in (self._hear, self._watch):
            threading.Thread(target=duty, daemon=True).start()

    def report(self, progress: Progress) -> None:
        self._channel.send(Reported(progress))

    def freeze(self, bounds: dict[str, Any]) -> None:
        self._stored = False
        self._channel.send(Freeze(bounds))
        with self._changed:
            self._changed.wait_for(lambda: self._stored or self._reason)
        self.check()

    def check(self) -> None:
        if boottime_s() >= self._deadline:
            self._interrupt("the lease ran out", for_certain=True)
        if self._reason:
            raise Interrupted(self._reason)

    def on_interrupt(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def fault(self, point: str) -> None:
        wanted, _, what = os.environ.get(FAULT, "").rpartition("=")
        if wanted and point == wanted:
            os.kill(os.getpid(), _FAULTS[what])

    def _hear(self) -> None:
        while True:
            try:
                frame = self._channel.receive()
            except GarbledFrame as error:
                return self._interrupt(f"the daemon broke the protocol: {error}", for_certain=True)
            match frame:
                case None:
                    return self._interrupt("the daemon is gone", for_certain=True)
                case Extend(deadline):
                    self._extend(deadline)
                case Stored():
                    self._tell_stored()
                case Cancel():
                    self._interrupt("cancelled", for_certain=False)  # the daemon lives and decides how long it waits
                case _:
                    return self._interrupt(f"{type(frame).__name__} was not expected", for_certain=True)

    def _extend(self, deadline: float) -> None:
        with self._changed:
            self._deadline = deadline
            if not self._ends_for_certain:
                self._set_timer(deadline - boottime_s() + OBEY_WITHIN_S)
            self._changed.notify_all()

    def _tell_stored(self) -> None:
        with self._changed:
            self._stored = True
            self._changed.notify_all()

    def _interrupt(self, reason: str, *, for_certain: bool) -> None:
        """End the load: politely now, and for certain soon. The first reason is the one that is told."""
        with self._changed:
            if for_certain and not self._ends_for_certain:
                self._ends_for_certain = True
                self._set_timer(OBEY_WITHIN_S)
            self._reason = self._reason or reason
            self._changed.notify_all()

    def _watch(self) -> None:
        """Interrupt at the deadline; once interrupted, call the load's callbacks until the process has ended."""
        while not self._reason:
            with self._changed:
                left_s = self._deadline - boottime_s()
                if left_s > 0 and not self._reason:
                    self._changed.wait(min(left_s, LOOK_S))
            if boottime_s() >= self._deadline:
                self._interrupt("the lease ran out", for_certain=True)
        while True:
            for callback in tuple(self._callbacks):
                self._call(callback)
            time.sleep(REPEAT_S)

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception:  # noqa: BLE001 - the load's own code must not end the thread that ends the load
            traceback.print_exc(file=sys.stderr)
            self._callbacks.remove(callback)

    @staticmethod
    def _set_timer(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 0.001), TIMER_S_MAX))


def memory_peak_bytes() -> int:
    """The most memory that this process ever had in use."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
