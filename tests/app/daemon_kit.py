"""What the tests of the whole share: daemons in processes of their own, and looks at what they leave."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from etlplus.client import Client, connect
from etlplus.engines.tenancy import address_of

ROWS = 600_000
PASSWORD = "correct horse battery"


def rows_in(database: Path) -> int:
    """How many rows the destination's table holds."""
    db = sqlite3.connect(database)
    try:
        return db.execute("SELECT count(*) FROM t").fetchone()[0]
    finally:
        db.close()


class Daemon:
    """A real daemon in a process of its own."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder = folder
        self._log = (folder / "daemon.log").open("ab")
        command = [sys.executable, "-m", "etlplus", "serve"]
        for option in (
            f"data_dir={folder / 'data'}", "server.port=0", "monitoring.websocket.port=0", "log.format=json", *more,
        ):  # fmt: skip
            command += ["--set", option]
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)

    @property
    def url(self) -> str:
        """Where it answers, once it is ready."""
        address = address_of(self.folder / "data")
        assert address is not None
        assert address.pid == self.process.pid
        return f"http://127.0.0.1:{address.rest}"

    def children(self) -> set[int]:
        """The engine's children that live now."""
        pid = self.process.pid
        found: set[int] = set()
        for task in Path(f"/proc/{pid}/task").iterdir():
            found |= {int(child) for child in (task / "children").read_text().split()}
        return found

    def events(self, name: str) -> list[dict[str, object]]:
        """What was logged under a name."""
        return [line for line in self.logged() if line["event"] == name]

    def logged(self) -> list[dict[str, object]]:
        """What the daemons of this folder logged, in order."""
        lines = (self.folder / "daemon.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def wait_ready(self) -> None:
        with trio.fail_after(60):
            while (address := address_of(self.folder / "data")) is None or address.pid != self.process.pid:
                assert self.process.poll() is None, (self.folder / "daemon.log").read_text()
                await trio.sleep(0.02)

    @asynccontextmanager
    async def client(self) -> AsyncGenerator[Client]:
        """A client that is signed in as the first admin."""
        async with connect(self.url) as client:
            token = self.folder / "data" / "bootstrap-token"
            if token.exists():
                await client.identity.bootstrap(token.read_text().strip(), "ada", PASSWORD)
            await client.identity.sign_in("ada", PASSWORD)
            yield client

    def end(self, how: signal.Signals) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)

    async def wait_ended(self, within_s: float = 60) -> int:
        with trio.fail_after(within_s):
            return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()


async def wait_gone(pids: set[int], within_s: float) -> None:
    """Wait until none of the processes lives any more."""
    with trio.fail_after(within_s):
        while any(_lives(pid) for pid in pids):  # noqa: ASYNC110 - strangers cannot be waited for
            await trio.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
