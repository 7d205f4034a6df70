"""
Reading definitions that were stored long ago, or by another version of the program.

A schedule may be one that this program cannot use: of a kind that it does not know, in a zone that its data do not have any
more. The rest of the definition is as good as ever, so only the schedule is left out. Where more than that cannot be read, a
stand-in says why: nothing of it can be carried out, and its runs are set aside.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from etlplus.jobs.model import Job

_jobs = msgspec.json.Decoder(Job)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

UNREAD = "?unread"
"""A label that no worker has: runs whose definition cannot be read wait as if they asked for it."""


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


def read_version(job_id: str, version: int, doc: str | bytes | None) -> Job:
    """The version of a job that a run was made from, or if its document is missing or cannot be read, a stand-in that says so
    as its ``fault``.
    """
    try:
        job = read_job(doc) if doc is not None else None
        fault = "it is not there" if job is None else "it names nothing that this program could carry out"
    except msgspec.DecodeError as error:
        job, fault = None, f"it cannot be read: {error}"
    if job is not None and job.is_whole:
        return job
    return Job(id=job_id, name="", version=version, created_at=_LONG_AGO, updated_at=_LONG_AGO, fault=fault)


def readable(rows: Iterable[tuple[str, str | bytes]]) -> tuple[list[Job], dict[str, str]]:
    """
    What of stored definitions can be scheduled by.

    Args:
        rows: Ids of jobs, and their documents.

    Returns:
        The jobs that can be read, in order; and of the others, by id, why they cannot.
    """
    jobs: list[Job] = []
    faults: dict[str, str] = {}
    for job_id, doc in rows:
        try:
            job = read_job(doc)
        except msgspec.DecodeError as error:
            faults[job_id] = f"it cannot be read: {error}"
            continue
        if job.fault is None:
            jobs.append(job)
        else:
            faults[job_id] = job.fault
    return jobs, faults
