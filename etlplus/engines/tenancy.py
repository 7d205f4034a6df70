"""
Who lives in a data directory, where it answers, and on which machine: one service at a time.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from etlplus.errors import Conflict, Misconfigured, Problem
from etlplus.jobs.model import Worker

ADDRESS_FILE = "address.json"


class Address(msgspec.Struct, frozen=True):
    """Where the service of a data directory answers; ports of the loopback or of the host that it was told."""

    pid: int
    rest: int
    monitoring: int


@contextmanager
def hold(data_dir: Path) -> Generator[None]:
    """Hold a data directory, made if missing, until the block is left; a dead holder's hold ends with its process.

    Raises:
        Conflict: another process holds it; the message names it.
        Misconfigured: the directory cannot be used.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # it holds secrets, and rows of data
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        problem = Problem(f"{data_dir}: {error.strerror}", "/data_dir", suggestion="a folder that can be written")
        raise Misconfigured("the data directory cannot be used", [problem]) from error
    try:
        _take(lock, data_dir)
        yield
    finally:
        os.close(lock)


def _take(lock: int, data_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "another"
        raise Conflict(
            f"the data directory {data_dir} is in use by process {holder}; a directory serves one daemon at a time",
            code="data_dir_in_use",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)


@contextmanager
def announced(data_dir: Path, rest: int, monitoring: int) -> Generator[None]:
    """Say in the data directory on which ports its service answers, until the block is left."""
    note, draft = data_dir / ADDRESS_FILE, data_dir / f"{ADDRESS_FILE}.new"
    draft.write_bytes(msgspec.json.encode(Address(os.getpid(), rest, monitoring)))
    draft.replace(note)
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def address_of(data_dir: Path) -> Address | None:
    """Where the service of a data directory said it answers. One that was killed could not take its word back: compare
    the ``pid``.
    """
    try:
        return msgspec.json.decode((data_dir / ADDRESS_FILE).read_bytes(), type=Address)
    except FileNotFoundError:
        return None


def is_gone(worker: Worker) -> bool:
    """Whether a worker of this machine cannot live any more: the machine was started anew, or its process is gone."""
    node, boot_id = machine()
    if worker.node != node or not boot_id:
        return False
    if worker.boot_id != boot_id:
        return True
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def machine() -> tuple[str, str]:
    """The node's name, and the id of its present boot (empty where the system has none)."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot_id = ""
    return socket.gethostname(), boot_id
