"""
Stands between the daemon and a command, so that the command never outlives the daemon: python guardian.py GRACE_S ARGV...

The daemon holds the other end of standard input. When it writes ``t`` there, the command's process group gets SIGTERM, and after
the grace, which any other word cuts short, SIGKILL. Any other word, and the end of file, which the death of the daemon brings
about, mean that others may have the run at any moment: SIGKILL, at once. Ends with the command's status, or 128 plus the number
of the signal that ended it; if it could not be started, by a signal of our own, as no end of a command looks. Standard library
only, so that it starts at once.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading

NOT_STARTED = signal.SIGUSR1
"""How we end ourselves then."""
WITH_ITS_PARENT = 1
"""PR_SET_PDEATHSIG: which signal a process gets when the thread that started it ends."""


def main() -> int:
    """Run the command to its end, or to ours."""
    grace_s, argv = float(sys.argv[1]), sys.argv[2:]
    try:
        command = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_us)
    except OSError as error:
        sys.stderr.write(f"{argv[0]} could not be started: {error.strerror}\n")
        sys.stderr.flush()
        signal.signal(NOT_STARTED, signal.SIG_DFL)
        os.kill(os.getpid(), NOT_STARTED)
        raise
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever wants the command ended says so on our standard input
    threading.Thread(target=_end_with_the_daemon, args=(command, grace_s), daemon=True).start()
    status = command.wait()
    _signal(command.pid, signal.SIGKILL)  # what it left behind in its group ends with it
    return status if status >= 0 else 128 - status


def _die_with_us() -> None:
    """A command that kills its guardian ends with it, where the system can do that: nobody else knows of it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(WITH_ITS_PARENT, signal.SIGKILL)


def _end_with_the_daemon(command: "subprocess.Popen[bytes]", grace_s: float) -> None:
    if os.read(0, 1) == b"t":
        _signal(command.pid, signal.SIGTERM)
        select.select([0], [], [], grace_s)
    _signal(command.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(main())
