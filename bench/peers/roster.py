"""
The peers there are: what each needs and how it is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A rival, with the settings under which it is measured."""

    name: str
    """What the figures call it."""
    package: str
    """The distribution that is measured; also the name of its script, its pins and its environment."""
    server: Literal["postgres", "valkey"]
    """What it keeps its runs in."""
    runs: int
    """How many no-op runs keep it busy for a few seconds, and well below 20 s on a slow day."""
    python_min: tuple[int, int] = (3, 11)
    """The oldest Python it supports, of those that etlplus supports."""
    settings: Mapping[str, int] = field(default_factory=dict[str, int])
    """Passed to the script, and part of its report."""

    @property
    def script(self) -> Path:
        """The program that the peer's environment executes."""
        return HERE / f"{self.package}_peer.py"

    @property
    def pins(self) -> Path:
        """Everything that is installed, name by name with its version."""
        return HERE / "pins" / f"{self.package}.txt"


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("pgqueuer", "pgqueuer", "postgres", 20_000, settings={"workers": 5, "batch_size": 10}),
        Peer("pgqueuer-tuned", "pgqueuer", "postgres", 40_000, settings={"workers": 1, "batch_size": 100}),
        Peer("procrastinate", "procrastinate", "postgres", 1_000),
        Peer("procrastinate-tuned", "procrastinate", "postgres", 2_000, settings={"concurrency": 1}),
        Peer("oban", "oban", "postgres", 6_000, (3, 12), settings={"limit": 10}),
        Peer("oban-tuned", "oban", "postgres", 6_000, (3, 12), settings={"limit": 50}),
        Peer("dbos", "dbos", "postgres", 3_000),
        Peer("celery", "celery", "valkey", 2_000),
        Peer("dramatiq", "dramatiq", "valkey", 10_000),
    )
}
