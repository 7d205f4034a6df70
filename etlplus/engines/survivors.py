"""
Children that a dead daemon left behind: how they are remembered, told from strangers, and ended.

A child ends itself within 2 s of its daemon's death; this makes sure, before a new daemon begins. A process number alone says
nothing, since the system gives it out again: a child is known by its number, the moment it started and the machine's boot.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import trio

from etlplus.engines.tenancy import machine

GONE_WITHIN_S = 2.0
LOOK_S = 0.01


def remember(records: Path, pid: int) -> Path:
    """Write down that ``pid`` is a child of ours; the file is removed when the child has been reaped."""
    record = records / str(pid)
    record.write_text(identity(pid) or "", "utf-8")
    return record


def identity(pid: int) -> str | None:
    """What tells a living process from any other that had or will have its number; None when it is dead."""
    started = _start_time(pid)
    return started and f"{machine()[1]} {started}".strip()


def _start_time(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    state, *rest = stat.rpartition(")")[2].split()  # the name before the bracket may contain anything
    return None if state in "ZX" else rest[18]


def _start_time_by_ps(pid: int) -> str | None:
    """For systems without /proc."""
    asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or None


async def kill_survivors(records: Path) -> list[int]:
    """End the children that are written down in ``records``, wait until they are gone, and return their numbers."""
    killed = _kill_all(records)
    with trio.move_on_after(GONE_WITHIN_S):
        for pid, known in killed.items():
            while True:
                if identity(pid) != known:
                    break
                await trio.sleep(LOOK_S)
    return list(killed)


def _kill_all(records: Path) -> dict[int, str]:
    killed: dict[int, str] = {}
    for record in records.iterdir():
        if record.name.isdigit() and _kill(pid := int(record.name), known := record.read_text("utf-8", "replace")):
            killed[pid] = known
        record.unlink()
    return killed


def _kill(pid: int, known: str) -> bool:
    if not known or identity(pid) != known:
        return False
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # it has just ended, or belongs to a user whom we may not touch
        return False
    return True
