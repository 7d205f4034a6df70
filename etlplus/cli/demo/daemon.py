"""
The demo's own daemon: a separate process in a folder of its own, started, waited for, and ended in order.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import msgspec
import trio

from etlplus.errors import Conflict, Unavailable

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
        return (self.folder / "data" / "bootstrap-token").read_text().strip()

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
        self.process.terminate()
        with trio.move_on_after(STOPPED_WITHIN_S):
            return await self.process.wait()
        self.process.kill()
        await self.process.wait()
        raise Unavailable(f"the daemon did not stop within {STOPPED_WITHIN_S:g} s; see {_log(self.folder)}")


@asynccontextmanager
async def started(folder: Path) -> AsyncGenerator[Daemon]:
    """A daemon that answers, in a fresh ``folder``; stopped on leaving if it was neither stopped nor kept.

    Raises:
        Conflict: a daemon that was kept still runs here.
        Unavailable: it ended, or did not answer in time; the sentence names its log.
    """
    rest, websocket = _port(8080), _port(8081)
    command = [sys.executable, "-m", "etlplus", "serve"]
    for option in (
        f"data_dir={folder / 'data'}",
        f"server.port={rest}",
        f"monitoring.websocket.port={websocket}",
        "log.format=text",
    ):
        command += ["--set", option]
    with _log(folder).open("wb") as log:
        # A session of its own, so that Ctrl-C reaches the demo alone and the demo ends the daemon in order.
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    daemon = Daemon(process, folder, f"http://127.0.0.1:{rest}", f"ws://127.0.0.1:{websocket}")
    try:
        await _ready(daemon)
        yield daemon
    finally:
        if process.returncode is None and not _note(folder).exists():
            with trio.CancelScope(shield=True):
                await daemon.stop()


async def _ready(daemon: Daemon) -> None:
    async with httpx2.AsyncClient(base_url=daemon.rest) as client:
        with trio.move_on_after(READY_WITHIN_S):
            while daemon.process.poll() is None:
                try:
                    if (await client.get("/api/health")).status_code == 200:
                        return
                except httpx2.TransportError:
                    pass  # it does not listen yet; whether it lives is looked at in each round
                await trio.sleep(LOOK_EVERY_S)
    ended = daemon.process.returncode
    why = f"ended with status {ended}" if ended is not None else f"did not answer within {READY_WITHIN_S:g} s"
    raise Unavailable(f"the daemon {why}; its last words:\n{_last_words(_log(daemon.folder))}")


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


def _port(wanted: int) -> int:
    """The wanted port, or a free one when somebody has it."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise Unavailable("this machine has no free port")


def _log(folder: Path) -> Path:
    return folder / "daemon.log"


def _note(folder: Path) -> Path:
    return folder / "kept.json"


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
