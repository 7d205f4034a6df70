"""
A virtual environment for each peer, made when it is first asked for and made anew when its pins change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "var" / "peers"
INSTALL_WITHIN_S = 300
ASK_WITHIN_S = 20
SAID_MAX = 500
NEWER = (13, 12, 14)  # which to prefer when the Python we run on is too old for a peer; most wheels exist for these

ASK = "import pip, sys, venv; print(*sys.version_info[:2])"


class NotPrepared(Exception):
    """The environment cannot be made here; the message says why."""


def prepared(name: str, pins: Path, python_min: tuple[int, int], folder: Path = FOLDER) -> Path:
    """The Python of an environment that holds what is pinned.

    Args:
        name: Of the environment, a folder in ``folder``.
        pins: A file of requirements.
        python_min: The oldest Python that will do.
        folder: Where the environments are.

    Raises:
        NotPrepared: no Python here is new enough, or the packages cannot be had.
    """
    base = interpreter(python_min)
    venv = folder / name
    python, mark = venv / "bin" / "python", venv / ".ready"
    wanted = hashlib.sha256(f"{base}\n{pins.read_text('utf-8')}".encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return python
    _call([base, "-m", "venv", "--clear", "--without-pip", venv])
    _call([base, "-m", "pip", "--python", python, "install", "-q", "--disable-pip-version-check", "-r", pins])
    mark.write_text(wanted)
    return python


def interpreter(at_least: tuple[int, int]) -> Path:
    """A Python that is new enough: the one we run on if it will do, so that all are measured alike.

    Raises:
        NotPrepared: none is found.
    """
    for candidate in _candidates():
        found = _version(candidate)
        if found and found >= at_least:
            return candidate
    raise NotPrepared(f"it needs Python {at_least[0]}.{at_least[1]} or newer, and none is found here")


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for minor in NEWER:
        if on_path := shutil.which(f"python3.{minor}"):
            yield Path(on_path)
        yield from sorted(kept.glob(f"3.{minor}.*/bin/python3.{minor}"))


def _version(python: Path) -> tuple[int, int] | None:
    """What it is, or nothing if it does not run: a version manager's shim may be on the path and refuse."""
    asked = subprocess.run([python, "-c", ASK], capture_output=True, text=True, timeout=ASK_WITHIN_S, check=False)
    if asked.returncode != 0:
        return None
    major, minor = asked.stdout.split()
    return int(major), int(minor)


def _call(command: list[str | Path]) -> None:
    asked = f"python {command[1]} {command[2]}"
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=True)
    except subprocess.CalledProcessError as failed:
        said: str = failed.stderr or failed.stdout
        raise NotPrepared(f"{asked} failed: {said.strip()[-SAID_MAX:]}") from failed
    except subprocess.TimeoutExpired as expired:
        raise NotPrepared(f"{asked} took longer than {INSTALL_WITHIN_S} s") from expired
