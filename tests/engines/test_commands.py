"""Commands, carried by their engine alone."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import is_alive

from etlplus.engines.attempt import LEASE_OVER
from etlplus.engines.commands import Commands
from etlplus.engines.contract import Lease, Work
from etlplus.jobs.kinds import Command
from etlplus.jobs.outcome import Result, Succeeded

END_WITHIN_S = 60.0
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: open('told', 'w').close())\n"
    "print(os.getpid(), flush=True)\n"
    "while True: time.sleep(600)"
)


class Lines:
    """Keeps the first line that a command wrote."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[str](100)

    def log(self, text: str, level: str = "info") -> None:
        self._send.send_nowait(text)

    async def first(self) -> str:
        return await self._receive.receive()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_command_whose_lease_is_over_gets_no_grace(tmp_path: Path, cancelled: bool) -> None:
    """It would have had ten minutes to end in order, or has begun to have them; it is gone when the attempt has ended, and that
    is at once.
    """
    command = Command(argv=(sys.executable, "-c", STUBBORN), stop_grace_s=600)
    work = Work(run_id="r", attempt=1, job_id="j", job_name="j", plan={}, command=command, base_dir=str(tmp_path))
    lease, lines, results = Lease(math.inf), Lines(), list[Result]()

    async def carry() -> None:
        results.append(await Commands(tmp_path).execute(work, lease, reports))

    reports: Any = lines
    with trio.fail_after(END_WITHIN_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(carry)
            pid = int(await lines.first())
            assert is_alive(pid)
            if cancelled:
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    while not (tmp_path / "told").exists():  # noqa: ASYNC110 - a file tells nobody
                        await trio.sleep(0.005)
            lease.revoke()
    assert results == ([] if cancelled else [LEASE_OVER])
    assert not is_alive(pid)


async def test_a_command_is_told_what_its_run_is_for(tmp_path: Path) -> None:
    """Run, attempt, parameters and the stretch of data, in its environment; without a stretch these variables are not there."""
    code = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('ETLPLUS_')}))"
    stretch = ("2026-03-28T00:00:00+00:00", "2026-03-29T00:00:00+00:00")
    for interval in (stretch, None):
        work = Work(
            run_id="r", attempt=2, job_id="j", job_name="j", plan={}, params={"day": "x"}, interval=interval,
            command=Command(argv=(sys.executable, "-c", code)), base_dir=str(tmp_path),
        )  # fmt: skip
        lines = Lines()
        reports: Any = lines
        result = await Commands(tmp_path).execute(work, Lease(math.inf), reports)
        assert isinstance(result, Succeeded)
        told = {"ETLPLUS_RUN_ID": "r", "ETLPLUS_ATTEMPT": "2", "ETLPLUS_PARAMS": '{"day":"x"}'}
        bounds = {"ETLPLUS_INTERVAL_START": stretch[0], "ETLPLUS_INTERVAL_END": stretch[1]}
        assert json.loads(await lines.first()) == told | (bounds if interval else {})
