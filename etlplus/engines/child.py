"""
The engine's child: one process, one load, then it is gone (``python -m etlplus.engines.child``).

A thread reads the control pipe while the main thread loads. When the pipe ends, the daemon is gone: the load is interrupted
and rolled back, and if it does not obey within 1.5 s the process ends anyway, which rolls back just as well. The lease's
deadline is watched by the same thread. Nothing but frames may reach standard output, so it is moved away first.

The child imports no store, actors or web.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from etlplus.engines.clock import boottime_s
from etlplus.engines.control import Interrupted, LoadFailed
from etlplus.engines.frames import (
    Broken,
    Cancel,
    Check,
    Checked,
    Done,
    Ended,
    Extend,
    Freeze,
    FromChild,
    GarbledFrame,
    Load,
    Ready,
    Reported,
    Stored,
    ToChild,
    encode,
    read_order,
)
from etlplus.jobs.outcome import Progress, RunError

OBEY_WITHIN_S = 1.5
NICENESS = 5
FAULT = "ETLPLUS_FAULT"
"""For crash tests: ``POINT=kill`` or ``POINT=stop`` makes the process do that to itself when the load comes to the point."""


class Channel:
    """The child's side of the pipes. Opening it moves standard output away, so that a stray print harms nobody."""

    def __init__(self) -> None:
        self._in: BinaryIO = os.fdopen(os.dup(0), "rb", buffering=0)
        self._out: BinaryIO = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        self._lock = threading.Lock()

    def receive(self) -> ToChild | None:
        """The next frame, or None once the daemon is gone."""
        return read_order(self._read)

    def send(self, frame: FromChild) -> None:
        """Write a frame; a daemon that is gone is noticed by the reader."""
        data = memoryview(encode(frame))
        with self._lock:
            try:
                while data:
                    data = data[self._out.write(data) :]
            except BrokenPipeError:
                return

    def _read(self, amount: int) -> bytes:
        parts = bytearray()
        while len(parts) < amount and (part := self._in.read(amount - len(parts))):
            parts += part
        return bytes(parts)


class ChildControl:
    """What the load may ask; see ``control.Control``."""

    def __init__(self, channel: Channel, deadline: float) -> None:
        self._channel = channel
        self._deadline = deadline
        self._reason = ""
        self._callbacks: list[Callable[[], None]] = []
        self._stored = threading.Event()
        self._moved = threading.Condition()
        point, _, self._fault = os.environ.get(FAULT, "").rpartition("=")
        self._fault_point = point

    def report(self, progress: Progress) -> None:
        self._channel.send(Reported(progress))

    def freeze(self, bounds: dict[str, Any]) -> None:
        self._channel.send(Freeze(bounds))
        self._stored.wait()
        self.check()

    def check(self) -> None:
        if not self._reason and boottime_s() > self._deadline:
            self.interrupt("the lease ran out")
        if self._reason:
            raise Interrupted(self._reason)

    def on_interrupt(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)

    def fault(self, point: str) -> None:
        if self._fault and point == self._fault_point:
            os.kill(os.getpid(), signal.SIGKILL if self._fault == "kill" else signal.SIGSTOP)

    def obey(self, frame: ToChild | None) -> None:
        """Called by the reading thread."""
        match frame:
            case Extend(deadline):
                with self._moved:
                    self._deadline = deadline
                    self._moved.notify_all()
            case Stored():
                self._stored.set()
            case Cancel():
                self.interrupt("cancelled")
            case None:
                self.interrupt("the daemon is gone")
            case _:
                self.interrupt("the daemon broke the protocol")

    def interrupt(self, reason: str) -> None:
        """End the load: politely now, and for certain in 1.5 s."""
        self._reason = self._reason or reason
        self._stored.set()
        timer = threading.Timer(OBEY_WITHIN_S, os._exit, (3,))
        timer.daemon = True
        timer.start()
        for callback in self._callbacks:
            callback()

    def watch_deadline(self) -> None:
        """A thread of its own: interrupts the load when the deadline passes while the load is busy."""
        with self._moved:
            while (left_s := self._deadline - boottime_s()) > 0:
                self._moved.wait(min(left_s, 3600.0))
        self.interrupt("the lease ran out")


def main() -> None:
    """Wait for one order, carry it out, and end without waiting for threads."""
    channel = Channel()
    os.nice(NICENESS)
    for library in ("duckdb", "pyarrow", "sqlglot"):
        importlib.import_module(library)
    channel.send(Ready())
    try:
        order = channel.receive()
        if isinstance(order, Load):
            channel.send(_load(order, channel))
        elif isinstance(order, Check):
            from etlplus.engines.load import check

            channel.send(Checked(check(order.order)))
    except GarbledFrame as error:
        print(f"garbled frame: {error}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(0)


def _load(order: Load, channel: Channel) -> FromChild:
    from etlplus.engines.load import load

    control = ChildControl(channel, order.deadline)
    threading.Thread(target=_obey, args=(channel, control), daemon=True).start()
    threading.Thread(target=control.watch_deadline, daemon=True).start()
    try:
        return Done(load(order.order, control))
    except LoadFailed as failure:
        return Broken(failure.error)
    except Interrupted as interrupted:
        return Ended(str(interrupted))
    except MemoryError as error:
        return Broken(RunError("out_of_memory", f"the load ran out of memory: {error}", retryable=True))
    except Exception as error:  # noqa: BLE001 - a bug in the load must be told, with its type
        import traceback

        traceback.print_exc()
        return Broken(RunError("internal", f"{type(error).__name__}: {error}", retryable=True))


def _obey(channel: Channel, control: ChildControl) -> None:
    """The reading thread."""
    while True:
        try:
            frame = channel.receive()
        except GarbledFrame:
            control.interrupt("the daemon broke the protocol")
            return
        control.obey(frame)
        if frame is None:
            return


if __name__ == "__main__":
    main()
