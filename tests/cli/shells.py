"""A shell with a real daemon behind it, for tests of commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PIPELINE = """\
name: people
sources:
  people: {type: csv, path: people.csv}
steps:
  - id: valid
    type: validate
    input: people
    rules:
      - {id: has_birth, check: born is not null, action: quarantine}
sinks:
  - {id: table, type: sqlite, input: valid, path: people.sqlite, table: people, mode: replace}
params:
  day: {type: date, default: null}
  n: {type: integer, default: null}
"""


class Shell:
    """A person's shell in a folder, with the address of the daemon and, once signed in, a token."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "ETLPLUS_URL": url, "ETLPLUS_PASSWORD": "correct horse battery"}

    def __call__(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "etlplus", *arguments],
            cwd=self.folder,
            env=self.environ | changes,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def said(self, *arguments: str) -> str:
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def open(self, *arguments: str) -> Generator[subprocess.Popen[str]]:
        """A command that goes on until it is interrupted; one that does not hear it is killed."""
        with subprocess.Popen(
            [sys.executable, "-m", "etlplus", *arguments],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@contextmanager
def open_shell(folder: Path) -> Generator[Shell]:
    """A daemon in the folder, and a shell in which the first admin is signed in; at the end the daemon stops in order."""
    command = [sys.executable, "-m", "etlplus", "serve"]
    ports = ("server.port=0", "monitoring.websocket.port=0")
    for option in ("data_dir=data", *ports, "engine.spares=false", "log.format=json"):
        command += ["--set", option]
    daemon = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    try:
        serving = next(line for line in map(json.loads, daemon.stderr) if line["event"] == "serving")
        shell = Shell(folder, f"http://127.0.0.1:{serving['rest']}")
        (folder / "people.csv").write_text("name,born\nAda,1815\nBlaise,1623\nNobody,\n")
        (folder / "people.yaml").write_text(PIPELINE)
        token = (folder / "data" / "bootstrap-token").read_text().strip()
        shell.environ["ETLPLUS_TOKEN"] = shell.said("sign-in", "ada", "--first", token).strip()
        yield shell
        daemon.send_signal(signal.SIGTERM)
        remaining = daemon.stderr.read()
        assert daemon.wait(timeout=30) == 0, remaining
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
