"""What a cancelled attempt still has to say is heard, and nobody waits for memory on a lease that has run out."""

import os
import sys
from pathlib import Path

import pytest
import trio

from etlplus.engines.contract import Lease, Work, boottime_s
from etlplus.engines.local import LocalOptions, open_local
from etlplus.jobs.outcome import Returned, Succeeded

COMMAND = (sys.executable, str(Path(__file__).with_name("committing_child.py")))


class Hearer:
    """Knows when the load has begun."""

    def __init__(self):
        self.begun = trio.Event()

    def progress(self, progress):
        self.begun.set()

    async def freeze(self, bounds):
        raise AssertionError("nothing was to be frozen")


def options(tmp_path, **changes):
    return LocalOptions(**{"data_dir": tmp_path, "slots": 1, "spares": 0, "child_command": COMMAND, **changes})


def work(**changes):
    return Work(**{"run_id": "r1", "attempt": 1, "job_id": "j", "job_name": "n", "plan": {}, **changes})


def lease(seconds=60.0):
    return Lease(boottime_s() + seconds)


async def cancelled_once_begun(engine, plan):
    """The result of an attempt that is cancelled when its load has begun; None when it was cancelled indeed."""
    hearer, results = Hearer(), []

    async def execute(scope):
        with scope:
            results.append(await engine.execute(work(plan=plan), lease(), hearer))

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(execute, scope)
            await hearer.begun.wait()
            scope.cancel()
    return results[0] if results else None


@pytest.mark.slow
async def test_a_load_that_commits_although_cancelled_has_succeeded(tmp_path):
    """A commit cannot be taken back by a cancellation that came too late, so it is told as what it is."""
    async with open_local(options(tmp_path)) as engine:
        result = await cancelled_once_begun(engine, {"letters": 1_000_000})
        assert isinstance(result, Succeeded)
        assert result.figures.rows_read == 7
        assert result.figures.memory_peak_bytes > 0
        assert engine.statistics().working == 0
    assert list((tmp_path / "children").iterdir()) == []


@pytest.mark.slow
async def test_a_load_that_rolls_back_when_cancelled_was_cancelled(tmp_path):
    """Cancelling an attempt that obeys raises Cancelled, and no process is left."""
    async with open_local(options(tmp_path)) as engine:
        assert await cancelled_once_begun(engine, {"rolls_back": True}) is None
        assert engine.statistics().killed == 0
    assert list((tmp_path / "children").iterdir()) == []


@pytest.mark.slow
async def test_an_attempt_that_waits_for_memory_is_returned_when_its_lease_runs_out(tmp_path):
    """Admission ends with the lease, and the one that gave up holds nobody else up."""
    limit = 256 * 2**20
    async with open_local(options(tmp_path, memory_limit_bytes=limit, memory_budget_bytes=limit)) as engine:
        hearer = Hearer()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.execute, work(), lease(), hearer)
            with trio.fail_after(60):
                await hearer.begun.wait()
                result = await engine.execute(work(run_id="r2"), lease(0.1), Hearer())
            assert result == Returned("the lease ran out")
            assert engine.statistics().spawned == 1
            nursery.cancel_scope.cancel()
        assert isinstance(await cancelled_once_begun(engine, {}), Succeeded)


@pytest.mark.slow
async def test_a_reader_cancelled_inside_a_frame_leaves_it_whole(tmp_path):
    """The next reader gets the frame that the last one had begun."""
    from etlplus.engines.frames import Done, encode
    from etlplus.engines.process import spawn
    from etlplus.jobs.outcome import Figures

    data, half = encode(Done(Figures(rows_read=3))), 6
    program = (
        f"import os; os.write(1, {data[:half]!r}); os.read(0, 1); os.write(1, {data[half:]!r})"  # goes on when told
    )
    child = await spawn((sys.executable, "-c", program), tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.drain_errors)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as reading:
                reading.start_soon(child.receive)
                with trio.fail_after(60):
                    while len(child._buffer) < half:
                        await trio.lowlevel.checkpoint()
                scope.cancel()
        os.write(child._process.stdin.fileno(), b"x")
        with trio.fail_after(60):
            assert await child.receive() == Done(Figures(rows_read=3))
        await child.end(grace_s=1)
