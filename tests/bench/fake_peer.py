"""A peer of the tests: it enqueues to a list, executes from it, and misbehaves on request. The peers' stopwatch is the real one.

Settings: ``lose`` runs are not executed, ``repeat`` are executed again, ``stuck`` is never acknowledged, ``hang`` never ends,
``leave`` starts a process that nobody stops.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "bench" / "peers"))

import redis
import stopwatch

QUEUE = "fake"


def leave_behind() -> None:
    """A process that holds the pipe ``alive`` open until somebody kills it; it lives before this returns."""
    started, start = os.pipe()
    if os.fork() == 0:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        os.open(Path(os.environ["TMPDIR"], "alive"), os.O_WRONLY)
        os.write(start, b"x")
        signal.pause()
    os.read(started, 1)


def main() -> None:
    valkey = redis.Redis.from_url(stopwatch.ADDRESS)
    valkey.rpush(QUEUE, *range(stopwatch.RUNS))
    if "leave" in stopwatch.SETTINGS:
        leave_behind()
    if "hang" in stopwatch.SETTINGS:
        signal.pause()
    for _ in range(stopwatch.RUNS - stopwatch.SETTINGS.get("lose", 0)):
        valkey.lpop(QUEUE)
        stopwatch.executed()
    for _ in range(stopwatch.SETTINGS.get("repeat", 0)):
        stopwatch.executed()
    until = stopwatch.wait_until(lambda: "stuck" not in stopwatch.SETTINGS)
    stopwatch.report(stopwatch.SETTINGS, stopwatch.RUNS - valkey.llen(QUEUE), until)


main()
