"""What an attempt wrote, from the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))
from shells import Shell

import etlplus
from etlplus.actors.newsroom import Lines
from etlplus.cli.logs import _logs
from etlplus.cli.main import _parser
from etlplus.client import Client, connect
from etlplus.errors import Forbidden
from etlplus.jobs.logs import LOG_BYTES_MAX, NewLine
from etlplus.jobs.model import JobDraft, RetryPolicy, Run, Worker
from etlplus.jobs.outcome import Failed, Figures, RunError, Succeeded
from etlplus.service.local import Service
from etlplus.service.permissions import ROLES, Principal
from etlplus.settings import Engine, Settings
from etlplus.settings.schema import Monitoring, MonitoringSocket, Server
from etlplus.store.contract import Outcome

pytestmark = pytest.mark.slow


class Writer:
    """A worker of another kind, which carries one run and writes lines."""

    def __init__(self, service: Service, run: Run) -> None:
        self.service = service
        self.store = service.house.store
        self.run = run

    async def claim(self) -> None:
        now = self.service.house.now()
        worker = Worker(
            id="w", node="n", pid=1, boot_id="b", started_at=now, beat_at=now, expires_at=now + timedelta(hours=1),
            slots=1, labels=("other",),
        )  # fmt: skip
        await self.store.join(worker, now=now)
        (claimed,) = (await self.store.claim("w", limit=1, now=now)).claimed
        self.run = claimed.run
        self.service.house.newsroom.tell(self.run)

    async def keep(self, *texts: str, level: str = "info") -> None:
        """Write lines, and tell nobody."""
        now = self.service.house.now()
        lines = [NewLine(now, text, level) for text in texts]
        assert await self.store.append_log(self.run.id, self.run.attempt, "w", lines, now=now)

    async def write(self, *texts: str, level: str = "info") -> None:
        before = await self.store.log_state(self.run.id, self.run.attempt)
        await self.keep(*texts, level=level)
        told = await self.store.log(self.run.id, self.run.attempt, after=before.lines)
        self.service.house.newsroom.tell(Lines(self.run.id, self.run.attempt, tuple(told)))

    async def end(self, result: Succeeded | Failed) -> None:
        outcome = Outcome(run_id=self.run.id, attempt=self.run.attempt, worker_id="w", result=result)
        (settled,) = await self.store.acknowledge([outcome], now=self.service.house.now())
        assert settled.run is not None
        self.service.house.newsroom.tell(settled.run)


@pytest.fixture
async def writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncGenerator[tuple[Writer, Client]]:
    settings = Settings(
        data_dir=str(tmp_path / "data"),
        engine=Engine(slots=1),
        server=Server(port=0),
        monitoring=Monitoring(websocket=MonitoringSocket(port=0)),
    )
    async with etlplus.open_service(settings, edge=True) as service:
        token = service.house.bootstrap.path.read_text().strip()
        await service.identity.bootstrap(token, "ada", "correct horse battery")
        grant = await service.identity.sign_in("ada", "correct horse battery")
        now = service.house.now()
        draft = JobDraft(name="quiet", labels=("other",), pipeline={}, retry=RetryPolicy(base_s=0, attempts_max=2))
        job = await service.house.store.save_job(draft, now=now)
        view = await service.runs.start(job.id)
        made = Writer(service, await service.house.store.run(view.id))
        await made.claim()
        async with connect(f"http://127.0.0.1:{service.house.ports.rest}", token=grant.access_token) as client:
            capsys.readouterr()  # what the house itself logged
            yield made, client


def chosen(run: str, *words: str) -> argparse.Namespace:
    return _parser().parse_args(["runs", "logs", run, *words])


async def test_lines_are_shown_whole_searched_and_from_the_end(
    writer: tuple[Writer, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """A level is named unless it is info; with --json each line is a record."""
    made, client = writer
    await made.write("begin", "half way")
    await made.write("broken pipe", level="warning")

    async def told(*words: str) -> list[str]:
        await _logs(client, chosen(made.run.id, *words))
        return [line.partition("Z  ")[2] or line for line in capsys.readouterr().out.splitlines()]

    assert await told() == ["begin", "half way", "warning: broken pipe"]
    assert await told("--search", "HALF") == ["half way"]
    assert await told("--tail", "1") == ["warning: broken pipe"]
    (record,) = await told("--tail", "1", "--json")
    assert '"number":3' in record


async def test_a_log_that_was_full_says_so(writer: tuple[Writer, Client], capsys: pytest.CaptureFixture[str]) -> None:
    """The number of lines that were not kept goes to standard error."""
    made, client = writer
    await made.write(*["x" * 9_000] * (LOG_BYTES_MAX // 9_000 + 2))
    await _logs(client, chosen(made.run.id))
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == LOG_BYTES_MAX // 9_000
    assert err == "2 lines were not kept: the log was full\n"


async def test_following_shows_each_attempt_to_the_end_of_the_run(
    writer: tuple[Writer, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines come as they are written, those of the next attempt after those of the one that failed."""
    made, client = writer
    await made.write("first try")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_logs, client, chosen(made.run.id, "--follow"))
            await made.write("it breaks")
            await made.end(Failed(RunError(code="broken", message="no", retryable=True)))
            await made.store.tick(now=made.service.house.now())
            await made.claim()
            await made.write("second try", "done")
            await made.end(Succeeded(Figures()))
    shown = [line.partition("Z  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["first try", "it breaks", "second try", "done"]


async def test_lines_that_nobody_told_of_are_shown_without_waiting_for_others(
    writer: tuple[Writer, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever follows a log reads on whenever news were missed, also when the run itself has not changed."""
    made, client = writer
    shown: list[str] = []

    async def until_shown(text: str) -> None:
        while text not in shown:
            await trio.sleep(0.01)
            shown.extend(line.partition("Z  ")[2] for line in capsys.readouterr().out.splitlines())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_logs, client, chosen(made.run.id, "--follow"))
            await made.write("told")
            await until_shown("told")
            await made.keep("not told")
            made.service.house.newsroom.here.miss()
            await until_shown("not told")
            await made.end(Succeeded(Figures()))
    assert shown == ["told", "not told"]


async def test_of_one_attempt_the_lines_are_followed_to_the_next_attempt(
    writer: tuple[Writer, Client], capsys: pytest.CaptureFixture[str]
) -> None:
    """Named, an attempt is followed alone; what another writes is not shown."""
    made, client = writer
    await made.write("first try")
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_logs, client, chosen(made.run.id, "--follow", "--attempt", "1"))
            await made.end(Failed(RunError(code="broken", message="no", retryable=True)))
            await made.store.tick(now=made.service.house.now())
            await made.claim()
            await made.write("second try")
    assert [line.partition("Z  ")[2] for line in capsys.readouterr().out.splitlines()] == ["first try"]


async def test_who_may_not_read_logs_may_not_follow_them(writer: tuple[Writer, Client]) -> None:
    """The news of an attempt's lines need the same permission as the lines."""
    made, _ = writer
    viewer = made.service.acting_as(Principal("v", "eve", "viewer", ROLES["viewer"]))
    async with viewer.events.watch((f"run:{made.run.id}",)):
        pass
    with pytest.raises(Forbidden) as refused:
        async with viewer.events.watch((f"run:{made.run.id}", f"log:{made.run.id}")):
            pass
    assert refused.value.scope == "logs:read"


def test_the_log_of_a_command_is_followed_to_its_end(shell: Shell) -> None:
    """A job file that holds a command is a whole job; what the program writes is shown while it runs."""
    (shell.folder / "hello.yaml").write_text("name: hello\ncommand: {argv: [sh, -c, 'echo hello; echo oh >&2']}\n")
    assert shell.said("jobs", "create", "hello.yaml").startswith("hello (")
    run = shell.said("runs", "start", "hello").strip()
    shown = [line.partition("Z  ")[2] for line in shell.said("runs", "logs", run, "--follow").splitlines()]
    assert sorted(line.rpartition(": ")[2] for line in shown) == ["hello", "oh"]
    assert shell.said("runs", "logs", run, "--search", "HELL").count("hello") == 1
