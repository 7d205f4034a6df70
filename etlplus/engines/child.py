"""
The engine's child: one process, one load, then it is gone (``python -m etlplus.engines.child``).

While it waits as a spare it has loaded the engine's libraries. It takes one order, holds itself on the daemon's leash while
it carries the order out, answers, and ends without waiting for threads. Nothing but frames may reach standard output, so that
is moved away first. The child imports no store, actors or web.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from etlplus.engines.control import Control, Interrupted, LoadFailed
from etlplus.engines.frames import (
    Broken,
    Cancel,
    Check,
    Checked,
    Done,
    Ended,
    FromChild,
    GarbledFrame,
    Load,
    Ready,
    ToChild,
)
from etlplus.engines.leash import Channel, Leash, memory_peak_bytes
from etlplus.engines.order import LoadOrder
from etlplus.errors import Problem
from etlplus.jobs.outcome import Figures, RunError

NICENESS = 5
"""Loads yield to the daemon, which must answer in milliseconds."""
LIBRARIES = ("duckdb", "pyarrow", "sqlglot", "etlplus.engines.load")
BROKEN_PROTOCOL = 4

LoadFunction = Callable[[LoadOrder, Control], Figures]
CheckFunction = Callable[[LoadOrder], tuple[Problem, ...]]


def main() -> None:
    """The child as the local engine starts it."""
    serve(_load, _check, LIBRARIES)


def serve(load: LoadFunction, check: CheckFunction, libraries: Sequence[str] = ()) -> None:
    """Carry out one order with these functions, and end the process. Tests bring functions of their own."""
    channel = Channel()
    os.nice(NICENESS)
    for library in libraries:
        importlib.import_module(library)
    channel.send(Ready())
    code = 0
    try:
        answer = _answer(channel, channel.receive(), load, check)
        if answer is not None:
            channel.send(answer)
    except GarbledFrame as error:
        sys.stderr.write(f"garbled frame: {error}\n")
        code = BROKEN_PROTOCOL
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _answer(channel: Channel, order: ToChild | None, load: LoadFunction, check: CheckFunction) -> FromChild | None:
    match order:
        case None | Cancel():
            return None  # the daemon is gone, or has no work for this spare
        case Load(ordered, deadline):
            leash = Leash(channel, deadline)
            leash.start()
            return _carried(load, ordered, leash)
        case Check(ordered):
            Leash(channel, float("inf")).start()
            return Checked(check(ordered))
        case _:
            raise GarbledFrame(f"{type(order).__name__} came before any order")


def _carried(load: LoadFunction, order: LoadOrder, leash: Leash) -> FromChild:
    try:
        figures = load(order, leash)
        return Done(replace(figures, memory_peak_bytes=memory_peak_bytes()))
    except LoadFailed as failure:
        return Broken(failure.error)
    except Interrupted as interrupted:
        return Ended(str(interrupted))
    except MemoryError as error:
        return Broken(RunError("out_of_memory", f"the load ran out of memory: {error}", retryable=True))
    except Exception as error:  # noqa: BLE001 - a bug in the load must be told, with its type
        traceback.print_exc()
        return Broken(RunError("internal", f"{type(error).__name__}: {error}", retryable=True))


def _load(order: LoadOrder, control: Control) -> Figures:
    from etlplus.engines.load import load

    return load(order, control)


def _check(order: LoadOrder) -> tuple[Problem, ...]:
    from etlplus.engines.load import check

    return check(order)


if __name__ == "__main__":
    main()
