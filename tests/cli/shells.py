"""
A shell with a real daemon behind it, for tests of commands.

Most commands are carried out in the process of the tests: starting a program takes many times as long as what it does. That each
can be started as one has a test of its own.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from etlplus.cli import entry

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


def carried_out(arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """A command line, carried out in this process: its exit status, and what it wrote."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = entry(arguments)
        except SystemExit as ended:  # the parser ends the program itself
            status = int(ended.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


class Shell:
    """A person's shell in a folder, with the address of the daemon and, once signed in, a token."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environ = {**os.environ, "ETLPLUS_URL": url, "ETLPLUS_PASSWORD": "correct horse battery"}

    def __call__(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        with chdir(self.folder), patch.dict(os.environ, self.environ | changes):
            return carried_out(arguments)

    def program(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same as a program of its own."""
        return subprocess.run(
            [sys.executable, "-m", "etlplus", *arguments],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
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
        assert daemon.wait(timeout=60) == 0, remaining
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stderr.close()
