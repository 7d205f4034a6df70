"""An engine's child whose load does what the plan says, so that tests can make it misbehave in every way."""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from etlplus.engines import child
from etlplus.engines.control import LoadFailed
from etlplus.errors import Problem
from etlplus.jobs.outcome import Figures, Progress, RunError


def load(order, control):
    """Tell our number as progress, then do what the plan says."""
    control.report(Progress(phase=str(os.getpid())))
    return DEEDS[order.plan["do"]](order, control)


def succeed(order, control):
    return Figures(rows_read=order.params.get("rows", 1))


def fail(order, control):
    raise LoadFailed(RunError("data_error", "the third row is not a row"))


def crash(order, control):
    raise ZeroDivisionError("a bug in the load")


def obey(order, control):
    """Work on until interrupted, then say that it was rolled back."""
    interrupted = threading.Event()
    control.on_interrupt(interrupted.set)
    interrupted.wait()
    Path(order.params["rolled_back"]).touch()
    control.check()


def defy(order, control):
    """Never end, whatever is asked."""
    while True:
        time.sleep(3600)


def hold_the_interpreter(order, control):
    """Sit in C code that gives the interpreter's lock to nobody, for longer than anybody lives."""
    re.match(r"(a|aa)+$", "a" * 200 + "b")


def defy_signals(order, control):
    os.kill(os.getpid(), signal.SIGSTOP)


def gobble(order, control):
    kept = []
    while True:
        kept.append(bytearray(os.urandom(1) * (8 * 2**20)))
        time.sleep(0.01)


def die(order, control):
    sys.stderr.write("last words\n" * 20_000)
    sys.stderr.write("the very last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def exit_quietly(order, control):
    os._exit(7)


def chatter(order, control):
    """Print wherever a load could print."""
    print("stray print " * 10_000, flush=True)  # noqa: T201 - the stray print that the test is about
    sys.__stdout__.write("more\n")
    os.write(1, b"raw bytes \xff\xff\xff\xff" * 1000)
    os.system("echo from a program")
    return Figures(rows_read=1)


def garble(order, control):
    control._channel._out.write(b"\x00\x00\x00\x03\xff\xff\xff")
    defy(order, control)


def garble_length(order, control):
    control._channel._out.write(b"\xff\xff\xff\xff")
    defy(order, control)


def freeze(order, control):
    control.freeze({"seen": 1})
    control.freeze({"seen": 2})
    return Figures(rows_read=2)


def freeze_and_mark(order, control):
    control.freeze({"seen": 1})
    control.freeze({"seen": 2})
    Path(order.params["mark"]).touch()
    return Figures()


def tell_bounds(order, control):
    return Figures(rows_read=order.bounds["rows"], rejects_file=order.work_dir)


def spill(order, control):
    (Path(order.work_dir) / "spilled").write_bytes(b"x" * 1000)
    defy(order, control)


def flood(order, control):
    """Report without end: the pipe is full when the daemon stops reading."""
    while True:
        control.report(Progress(phase="x" * 1000))
        control.check()


def reach_points(order, control):
    control.fault("first")
    control.fault("second")
    return Figures()


def outlive_lease(order, control):
    """Wait for the lease to run out, then ask whether a commit would still be allowed."""
    while True:
        control.check()
        time.sleep(0.005)


def broken_interrupt(order, control):
    def bad():
        raise RuntimeError("the callback is broken")

    control.on_interrupt(bad)
    return obey(order, control)


def check(order):
    if order.plan.get("do") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if order.plan.get("do") == "defy":
        time.sleep(3600)
    return (Problem("wrong", "/do"),) if order.plan.get("do") not in DEEDS else ()


DEEDS = {name: deed for name, deed in globals().items() if callable(deed) and name not in {"load", "check"}}

if __name__ == "__main__":
    child.serve(load, check)
