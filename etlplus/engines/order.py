"""
What the daemon orders from an engine's child: one attempt of one load, complete in itself.

Both halves of the engine import this file, so it stands on msgspec alone.
"""

from __future__ import annotations

from typing import Any

import msgspec


class LoadOrder(msgspec.Struct, frozen=True):
    """One attempt of one load: the plan, what it is bound to, and the folders and memory it may use.

    ``bounds`` are the source bounds that an earlier attempt froze, or None for the first attempt. ``work_dir`` is private
    to this attempt and may be filled with spilled data. The attempt's rejects go to
    ``{rejects_dir}/{run_id}.{attempt}.ndjson``. Relative paths of the plan are resolved against ``base_dir``.
    """

    run_id: str
    attempt: int
    job_id: str
    job_name: str
    plan: dict[str, Any]
    work_dir: str
    rejects_dir: str
    memory_limit_bytes: int
    params: dict[str, Any] = {}
    interval: tuple[str, str] | None = None
    bounds: dict[str, Any] | None = None
    base_dir: str = "."
