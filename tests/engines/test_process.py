"""Ending a child: asked first, then told, then made to; and always reaped."""

import sys

import pytest
import trio

from etlplus.engines.process import ChildLost, spawn

pytestmark = pytest.mark.slow
READY = "import os, signal, sys, time; "


@pytest.fixture
def run(tmp_path):
    """Start a program as a child and end it once it has written to standard error."""

    async def running(program, *, grace_s):
        child = await spawn((sys.executable, "-c", READY + program), tmp_path)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child.drain_errors)
            with trio.fail_after(60):
                while not child._last_words:  # noqa: ASYNC110 - the tail of standard error tells nobody that it grew
                    await trio.sleep(0.005)
                await child.end(grace_s=grace_s)
        assert not child.alive
        assert not (tmp_path / str(child.pid)).exists()
        return child

    return running


async def test_a_child_that_answers_before_it_ends_is_read_until_it_has(run):
    """A pipe full of reports that nobody wants must not keep it from ending in order."""
    child = await run("os.write(2, b'x'); os.read(0, 1); os.write(1, bytes(2_000_000)); os._exit(5)", grace_s=15)
    assert child._process.returncode == 5
    assert not child.was_killed


async def test_a_child_that_does_not_listen_is_terminated(run):
    """SIGTERM comes before SIGKILL, so that programs which the load started may tidy up."""
    tidy = "signal.signal(signal.SIGTERM, lambda *_: os._exit(6)); os.write(2, b'x'); time.sleep(3600)"
    child = await run(tidy, grace_s=0.05)
    assert child._process.returncode == 6
    assert child.was_killed


@pytest.mark.parametrize("deafness", ["signal.signal(signal.SIGTERM, signal.SIG_IGN)", "None"])
async def test_a_child_that_ignores_everything_is_killed(run, deafness):
    """Deaf or stopped: SIGKILL ends it."""
    stop = "os.kill(os.getpid(), signal.SIGSTOP); " if deafness == "None" else ""
    child = await run(f"{deafness}; os.write(2, b'x'); {stop}time.sleep(3600)", grace_s=0.05)
    assert child._process.returncode == -9


async def test_a_child_that_cannot_be_written_down_is_not_kept(tmp_path):
    """A daemon that died now could not find it, so it does not live."""
    with pytest.raises(ChildLost, match="no child could be started"):
        await spawn((sys.executable, "-c", "import time; time.sleep(3600)"), tmp_path / "missing")
