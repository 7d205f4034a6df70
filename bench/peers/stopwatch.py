"""
What the peers' scripts share: their order, the noting of executions, the waiting for the last acknowledgement, the report.

It runs in the peers' environments, so it needs nothing but the standard library.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.005
STOP_WITHIN_S = 20

ORDER: dict[str, Any] = json.loads(os.environ["PEER_ORDER"])
ADDRESS: str = ORDER["address"]
RUNS: int = ORDER["runs"]
SETTINGS: dict[str, int] = ORDER["settings"]

moments: list[float] = []


def executed() -> None:
    """Note one execution in this process. Appending to a list is atomic, so a worker's threads may share it."""
    moments.append(time.monotonic())


def keep() -> None:
    """Leave this process's notes to the script, when the worker's processes are not the script's."""
    Path(ORDER["folder"], f"executed-{os.getpid()}.json").write_text(json.dumps(moments))


def gather() -> None:
    """Take the notes that the worker's processes left. The monotonic clock is the same in all of them."""
    for file in Path(ORDER["folder"]).glob("executed-*.json"):
        moments.extend(json.loads(file.read_text()))


@contextmanager
def worker(module: str, *arguments: str) -> Generator[None]:
    """A worker's command line, ``python -m MODULE …``, until the block ends; then it may finish and note what it did."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdin=subprocess.DEVNULL, stdout=sys.stderr)
    try:
        yield
    finally:
        process.terminate()
        process.wait(STOP_WITHIN_S)


def wait_until(settled: Callable[[], bool]) -> float:
    """Look again and again; the moment at which it was so."""
    give_up = time.monotonic() + ORDER["within_s"]
    while not settled():
        _in_time(give_up)
        time.sleep(LOOK_EVERY_S)
    return time.monotonic()


async def wait_until_async(settled: Callable[[], Awaitable[bool]], *, noted: bool = True) -> float:
    """The same on an event loop. If runs are ``noted`` by this process, the server is not asked before all are executed."""
    give_up = time.monotonic() + ORDER["within_s"]
    while (noted and len(moments) < RUNS) or not await settled():
        _in_time(give_up)
        await asyncio.sleep(LOOK_EVERY_S)
    return time.monotonic()


def _in_time(give_up: float) -> None:
    if time.monotonic() > give_up:
        sys.exit(f"not done within {ORDER['within_s']} s; {len(moments)} of {RUNS} runs are executed")


def report(settings: dict[str, Any], acknowledged: int, until: float, began: float | None = None) -> None:
    """Print the figure: from the first execution, unless it ``began`` before that, until the last acknowledgement.

    Raises:
        SystemExit: not every run was executed once and acknowledged.
    """
    if (len(moments), acknowledged) != (RUNS, RUNS):
        sys.exit(f"of {RUNS} runs {len(moments)} were executed and {acknowledged} acknowledged")
    seconds = until - (min(moments) if began is None else began)
    figure = {"version": version(ORDER["package"]), "seconds": seconds, "settings": settings}
    print(json.dumps({"peer": ORDER["peer"], "runs": RUNS} | figure))
