"""
Reading definitions that were stored long ago, or by another version of the program.

A schedule may be one that this program cannot use: of a kind that it does not know, in a zone that its data do not have any
more. The rest of the definition is as good as ever, so only the schedule is left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from etlplus.jobs.model import Job

_jobs = msgspec.json.Decoder(Job)


def read_job(doc: str | bytes) -> Job:
    """
    The job of a stored document; if its schedule cannot be read it has none and is paused, and its ``fault`` says why.

    Raises:
        msgspec.DecodeError: it is no document of a job at all.
    """
    try:
        return _jobs.decode(doc)
    except msgspec.ValidationError as error:
        fields: dict[str, Any] = msgspec.json.decode(doc, type=dict[str, Any])
        fault = f"its schedule cannot be read: {error}"
    return msgspec.convert(fields | {"schedule": None, "next_at": None, "paused": True, "fault": fault}, Job)


def fault_of(doc: str | bytes) -> str | None:
    """Why nothing can be scheduled by a stored document; None if it can be read."""
    try:
        return read_job(doc).fault
    except msgspec.DecodeError as error:
        return f"it cannot be read: {error}"
