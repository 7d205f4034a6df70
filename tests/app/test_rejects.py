"""Refused rows are seen with the commit of the attempt that found them, and never before."""

from __future__ import annotations

from pathlib import Path

import pytest
from backup_kit import settings_in

import etlplus
from etlplus.engines.leash import FAULT
from etlplus.jobs.model import JobDraft, RetryPolicy


@pytest.mark.slow
async def test_rows_that_an_attempt_refused_are_seen_only_if_it_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that is killed right before its commit has written them; its run shows none, and the next run has its own."""
    (tmp_path / "people.csv").write_text("name,born\nAda,1815\nNobody,\n")
    rule = {"id": "has_birth", "check": "born is not null", "action": "quarantine"}
    plan = {
        "name": "people",
        "sources": {"people": {"type": "csv", "path": "people.csv"}},
        "steps": [{"id": "valid", "type": "validate", "input": "people", "rules": [rule]}],
        "sinks": [{"id": "table", "type": "sqlite", "input": "valid", "path": "people.sqlite", "table": "people"}],
    }
    shown: list[tuple[str, list[str]]] = []
    for fault in ("before_commit:table=kill", ""):
        monkeypatch.setenv(FAULT, fault)
        async with etlplus.open_service(settings_in(tmp_path / "data")) as service, service.events.watch() as news:
            found = await service.jobs.list()
            draft = JobDraft(name="people", pipeline=plan, base_dir=str(tmp_path), retry=RetryPolicy(attempts_max=1))
            job = found.items[0] if found.items else await service.jobs.create(draft)
            run = await service.runs.start(job.id)
            while not (run := await service.runs.get(run.id)).finished:
                await anext(aiter(news))
            shown.append((run.state, [reject.raw for reject in (await service.runs.rejects(run.id)).items]))
    assert len(list((tmp_path / "data" / "rejects").iterdir())) == 2
    assert shown == [("failed", []), ("succeeded", ["Nobody,"])]
