"""The guardian of a command: in order when the daemon says so, and at once when the daemon is dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from etlplus.engines.commands import GUARDIAN, TERMINATE

WITHIN_S = 60.0
"""Far less than any grace here."""
DEAF = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']); print('up', flush=True); time.sleep(3600)"
)
"""What it starts in its turn holds our pipe open for as long as it lives."""
TIDY = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); print('up', flush=True); time.sleep(3600)"


@contextmanager
def guarded(code: str, *, grace_s: float) -> Generator[subprocess.Popen[bytes]]:
    """A guardian, once its command is up."""
    command = [sys.executable, "-I", "-S", str(GUARDIAN), str(grace_s), sys.executable, "-c", code]
    guardian = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert guardian.stdout is not None
        assert guardian.stdout.readline() == b"up\n"
        yield guardian
    finally:
        guardian.communicate(timeout=WITHIN_S)


def say(guardian: subprocess.Popen[bytes], said: bytes) -> None:
    assert guardian.stdin is not None
    guardian.stdin.write(said)
    guardian.stdin.flush()


@pytest.mark.parametrize("said", [b"", TERMINATE])
def test_a_command_dies_with_the_daemon_at_once(said: bytes) -> None:
    """Whatever it does about SIGTERM, with what it has started, and also while it has its grace: others may have the run by
    then.
    """
    with guarded(DEAF, grace_s=3600) as guardian:
        say(guardian, said)
    assert guardian.returncode == 128 + signal.SIGKILL


def test_a_command_that_shall_end_has_its_grace() -> None:
    """It is asked, and ends as it likes; what does not is killed afterwards."""
    with guarded(TIDY, grace_s=3600) as guardian:
        say(guardian, TERMINATE)
        assert guardian.wait(WITHIN_S) == 7
    with guarded(DEAF, grace_s=0.05) as guardian:
        say(guardian, TERMINATE)
        assert guardian.wait(WITHIN_S) == 128 + signal.SIGKILL
