"""What the tests of the engine share: orders for scripted children, and looks at the processes of this machine."""

import sys
from pathlib import Path

import trio

from etlplus.engines.contract import Lease, Work, boottime_s
from etlplus.engines.survivors import identity

SCRIPT = Path(__file__).with_name("scripted_child.py")
HANG_S = 60.0
"""Far more than anything here takes, on a machine that is busy with something else."""
LEASE_S = 60.0
COMMAND = (sys.executable, str(SCRIPT))


class Hearer:
    """Keeps what an attempt reports; ``pid`` waits for the child's number, which is its first report."""

    def __init__(self):
        self.bounds = []
        self.progress_heard = 0
        self._first = trio.Event()
        self._pid = 0

    def progress(self, progress):
        self.progress_heard += 1
        if not self._first.is_set():
            self._pid = int(progress.phase)
            self._first.set()

    async def freeze(self, bounds):
        await trio.lowlevel.checkpoint()
        self.bounds.append(bounds)

    async def pid(self):
        with trio.fail_after(HANG_S):
            await self._first.wait()
        return self._pid


def is_alive(pid):
    return identity(pid) is not None


async def gone(pid, within_s=HANG_S):
    """Wait for a process to be gone; fails when it takes longer."""
    with trio.fail_after(within_s):
        while is_alive(pid):  # noqa: ASYNC110 - the end of somebody else's child is a fact that can only be looked at
            await trio.sleep(0.005)


def children_of(pid):
    return {
        int(stat.parent.name)
        for stat in Path("/proc").glob("[0-9]*/stat")
        if (text := _read(stat)) and int(text.rpartition(")")[2].split()[1]) == pid
    }


def _read(path):
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def order(do, **changes):
    plan = {"do": do}
    return Work(**{"run_id": "r1", "attempt": 1, "job_id": "j1", "job_name": "job", "plan": plan, **changes})


def lease(seconds=LEASE_S):
    return Lease(boottime_s() + seconds)
