"""
The demo's own daemon: a separate process in a folder of its own, started, waited for, and ended in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio

from etlplus.engines.tenancy import Address, address_of
from etlplus.errors import Conflict, Unavailable

USUAL_PORTS = (8080, 8081)  # REST, monitoring
FREE_PORTS = (0, 0)
READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 20.0  # the drain budget, and room for an exit in order
LOOK_EVERY_S = 0.05


class Kept(msgspec.Struct, frozen=True):
    """What is written down about a daemon that was left running; the file is only for its owner."""

    pid: int
    rest: str
    websocket: str
    name: str
    password: str
    token: str


class Daemon(msgspec.Struct, frozen=True):
    """A daemon that answers. Addresses are URLs."""

    process: trio.Process
    folder: Path
    rest: str
    websocket: str

    @property
    def bootstrap_token(self) -> str:
        """The one-time token that the daemon left for the operator."""
        return (data_dir(self.folder) / "bootstrap-token").read_text().strip()

    def keep(self, name: str, password: str, token: str) -> None:
        """Write down what ``stop_kept`` and a person need."""
        kept = Kept(self.process.pid, self.rest, self.websocket, name, password, token)
        with os.fdopen(os.open(_note(self.folder), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(kept))

    async def stop(self) -> int:
        """Ask it to end in order, and give its exit status.

        Raises:
            Unavailable: it did not end in time; it was killed.
        """
        return await _stop(self.process, self.folder)


@asynccontextmanager
async def started(folder: Path) -> AsyncGenerator[Daemon]:
    """A daemon that answers, in a fresh ``folder``; stopped on leaving if it was neither stopped nor kept. Where the usual
    ports are taken it listens on free ones.

    Raises:
        Conflict: a daemon that was kept still runs here.
        Unavailable: it ended, or did not answer in time; the sentence names its log.
    """
    for ports in (USUAL_PORTS, FREE_PORTS):
        process = await _spawn(folder, *ports)
        try:
            if address := await _address(process, folder):
                urls = f"http://127.0.0.1:{address.rest}", f"ws://127.0.0.1:{address.monitoring}"
                yield Daemon(process, folder, *urls)
                return
        finally:
            if process.returncode is None and not _note(folder).exists():
                with trio.CancelScope(shield=True):
                    await _stop(process, folder)
    raise Unavailable(f"the daemon ended with status {process.returncode}; its last words:\n{_last_words(folder)}")


async def _spawn(folder: Path, rest: int, websocket: int) -> trio.Process:
    command = [sys.executable, "-m", "etlplus", "serve"]
    for option in (
        f"data_dir={data_dir(folder)}",
        f"server.port={rest}",
        f"monitoring.websocket.port={websocket}",
        "log.format=text",
    ):
        command += ["--set", option]
    with _log(folder).open("wb") as log:
        # A session of its own, so that Ctrl-C reaches the demo alone and the demo ends the daemon in order.
        return await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )


async def _address(process: trio.Process, folder: Path) -> Address | None:
    """Where the daemon answers, as soon as it does; None if it ended instead."""
    with trio.move_on_after(READY_WITHIN_S):
        while process.poll() is None:
            address = address_of(data_dir(folder))
            if address and address.pid == process.pid:
                return address
            await trio.sleep(LOOK_EVERY_S)
        return None
    raise Unavailable(f"the daemon did not answer within {READY_WITHIN_S:g} s; its last words:\n{_last_words(folder)}")


async def _stop(process: trio.Process, folder: Path) -> int:
    process.terminate()
    with trio.move_on_after(STOPPED_WITHIN_S):
        return await process.wait()
    process.kill()
    await process.wait()
    raise Unavailable(f"the daemon did not stop within {STOPPED_WITHIN_S:g} s; see {_log(folder)}")


def data_dir(folder: Path) -> Path:
    """Where the daemon of the demo in ``folder`` keeps its state."""
    return folder / "data"


def refuse_if_kept(folder: Path) -> None:
    """Raise Conflict while a daemon that was kept runs in ``folder``."""
    if (kept := _kept(folder)) and _runs(kept.pid):
        raise Conflict(f"the daemon of an earlier demo still runs at {kept.rest}; end it with `make stop`")


async def stop_kept(folder: Path) -> int:
    """End the daemon that was left running in ``folder``, in order; it is fine if there is none."""
    kept = _kept(folder)
    if kept is None or not _runs(kept.pid):
        _note(folder).unlink(missing_ok=True)
        print("demo: no daemon is running")
        return 0
    os.kill(kept.pid, signal.SIGTERM)
    with trio.move_on_after(STOPPED_WITHIN_S):
        while _runs(kept.pid):  # noqa: ASYNC110 - it is not our child, and portable Python cannot wait for a stranger
            await trio.sleep(LOOK_EVERY_S)
        _note(folder).unlink()
        print("demo: the daemon has stopped")
        return 0
    raise Unavailable(f"the daemon {kept.pid} did not stop within {STOPPED_WITHIN_S:g} s; see {_log(folder)}")


def _kept(folder: Path) -> Kept | None:
    try:
        return msgspec.json.decode(_note(folder).read_bytes(), type=Kept)
    except FileNotFoundError:
        return None


def _runs(pid: int) -> bool:
    """Whether the process lives and is a daemon of ours: a pid alone may long belong to somebody else."""
    shown = subprocess.run(["ps", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "etlplus serve" in shown.stdout and not shown.stdout.lstrip().startswith("Z")


def _log(folder: Path) -> Path:
    return folder / "daemon.log"


def _note(folder: Path) -> Path:
    return folder / "kept.json"


def _last_words(folder: Path) -> str:
    return "\n".join(_log(folder).read_text("utf-8", "replace").splitlines()[-20:])
