"""
One measurement of one peer: its environment, a clean place on the server, its script under a time limit, its report.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.environment import NotPrepared, prepared
from bench.peers.places import clean_place
from bench.peers.roster import Peer

MEASURE_WITHIN_S = 20  # the script gives up by itself
SCRIPT_WITHIN_S = 90  # enqueueing one by one, starting and stopping come on top of what is measured
SAID_MAX = 2000
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")  # nothing else: a stray PGHOST or CELERY_ variable would change a peer


class PeerFailed(Exception):
    """The peer is installed and did not do its runs, with what it said."""


@dataclass(frozen=True)
class Burned:
    """How long a peer took to execute and acknowledge its no-op runs."""

    peer: str
    version: str
    runs: int
    seconds: float
    settings: Mapping[str, Any]

    @property
    def per_s(self) -> float:
        """Runs per second."""
        return self.runs / self.seconds


@dataclass(frozen=True)
class Unavailable:
    """A peer that cannot be measured here, and why."""

    peer: str
    reason: str


def burn(peer: Peer, runs: int, addresses: Mapping[str, str]) -> Burned | Unavailable:
    """Measure a peer once, making its environment first if that is not there yet.

    Args:
        peer: One of the roster.
        runs: How many no-op runs; ``peer.runs`` is what suits it.
        addresses: Where the servers are, by ``postgres`` and ``valkey``, as ``etlplus.testing.servers`` gives them. Whoever
            calls has started them and stops them.

    Raises:
        PeerFailed: it did not execute and acknowledge each run once, or not in time.
    """
    if peer.server not in addresses:
        return Unavailable(peer.name, f"it needs {peer.server}, and no address of one was given")
    try:
        python = prepared(peer.package, peer.pins, peer.python_min)
    except NotPrepared as reason:
        return Unavailable(peer.name, str(reason))
    return execute(peer, python, peer.script, runs, addresses)


def execute(peer: Peer, python: Path, script: Path, runs: int, addresses: Mapping[str, str]) -> Burned:
    """Let ``python`` execute the script, and read its report.

    Raises:
        PeerFailed: as for ``burn``.
    """
    with clean_place(peer.server, addresses) as address, tempfile.TemporaryDirectory(prefix="peer-") as folder:
        order = {
            "peer": peer.name,
            "package": peer.package,
            "address": address,
            "runs": runs,
            "settings": dict(peer.settings),
            "folder": folder,
            "within_s": MEASURE_WITHIN_S,
        }
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        said = _run(peer, [python, script], folder, environment | {"PEER_ORDER": json.dumps(order)})
    return parse(peer, runs, said)


def _run(peer: Peer, command: list[Path], folder: str, environment: dict[str, str]) -> str:
    """What the script printed. It leads a session of its own, of which nothing is left when this returns."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as script:
        try:
            said, complained = script.communicate(timeout=SCRIPT_WITHIN_S)
        except subprocess.TimeoutExpired as expired:
            raise PeerFailed(f"{peer.name} did not end within {SCRIPT_WITHIN_S} s") from expired
        finally:
            with suppress(ProcessLookupError):  # the rule: the script ended its worker, and then itself
                os.killpg(script.pid, signal.SIGKILL)
    if script.returncode != 0:
        raise PeerFailed(f"{peer.name} ended with {script.returncode}: {complained.strip()[-SAID_MAX:]}")
    return said


def parse(peer: Peer, runs: int, said: str) -> Burned:
    """The report: the last line that the script printed.

    Raises:
        PeerFailed: it is no report, or one about something else than what was asked for.
    """
    last = said.strip().rpartition("\n")[2]
    try:
        report = json.loads(last)
        burned = Burned(**{name: report[name] for name in ("peer", "version", "runs", "seconds", "settings")})
    except (ValueError, TypeError, KeyError) as broken:
        raise PeerFailed(f"{peer.name} printed no report but {last[-SAID_MAX:]!r}") from broken
    if (burned.peer, burned.runs) != (peer.name, runs):
        raise PeerFailed(f"{peer.name} was asked for {runs} runs and reports {burned.runs} of {burned.peer}")
    if not (math.isfinite(burned.seconds) and burned.seconds > 0):
        raise PeerFailed(f"{peer.name} reports {burned.seconds} s")
    return burned
