"""
``etlplus jobs``: the definitions in the running daemon.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_daemon, add_group

if TYPE_CHECKING:
    from etlplus.client import Client
    from etlplus.service.views import JobView

_FILES = """\
FILE is a job (name, pipeline, schedule, retry, …) or just a pipeline, in YAML, JSON or TOML. Relative paths in it start at
its own folder. What is wrong in it is told with line and column, and nothing is stored.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    group = add_group(commands, "jobs", "define, list, show and delete jobs in the running daemon")
    listing = _command(group, "list", "list all jobs by name", _list)
    listing.add_argument("--limit", type=int, default=50, help="how many at most (50)")
    _command(group, "show", "show one job").add_argument("job", metavar="JOB", help="its name or id")
    create = _command(group, "create", "store a job", _create, _FILES)
    create.add_argument("file", metavar="FILE", type=Path)
    create.add_argument("--name", help="call it so instead")
    create.add_argument("--replace", action="store_true", help="change the job of that name if there is one")
    check = _command(group, "check", "say what is wrong with a job, and store nothing", _check, _FILES)
    check.add_argument("file", metavar="FILE", type=Path)
    delete = _command(group, "delete", "forget a job; its finished runs stay", _delete)
    delete.add_argument("job", metavar="JOB", help="its name or id")


def _command(group: Commands, name: str, summary: str, act: object = None, epilog: str = "") -> argparse.ArgumentParser:
    parser = add_command(group, name, summary, epilog)
    add_daemon(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(act=act or _show)
    return parser


def _text(job: JobView) -> str:
    from etlplus.jobs.schedules import describe

    schedule = describe(job.schedule) if job.schedule else job.fault or "none"
    rules = f", rules for some errors: {len(job.retry.rules)}" if job.retry.rules else ""
    lines = [
        f"{job.name} ({job.id}), version {job.version}",
        f"  {_does(job)}",
        f"  queue {job.queue}, priority {job.priority}, up to {job.retry.attempts_max} attempts{rules}",
        f"  schedule: {schedule}{', paused' if job.paused else ''}; next run: {next_run(job)}",
        *(f"  {name}: {said}" for name, said in _bounds(job) if said),
    ]
    return "\n".join(lines)


def _does(job: JobView) -> str:
    """What the job is, in a few words."""
    if job.command is not None:
        return f"command: {shlex.join(job.command.argv)}"
    return f"function: {job.python}" if job.python is not None else "pipeline"


def _bounds(job: JobView) -> list[tuple[str, str]]:
    """What holds its runs back or ends them, as far as anything does."""
    by = f", for each {job.limit.by}" if job.limit and job.limit.by else ""
    times = {"attempt": job.timeout_s, "in the queue": job.queue_timeout_s, "in all": job.total_timeout_s}
    memory = f"{job.memory_limit_bytes:,} bytes" if job.memory_limit_bytes else ""
    return [
        ("limit", f"{job.limit.name}{by}" if job.limit else ""),
        ("labels", ", ".join(job.labels)),
        ("time limits", ", ".join(f"{name} {bound:g} s" for name, bound in times.items() if bound is not None)),
        ("memory", memory),
    ]


def next_run(job: JobView) -> str:
    """When the schedule of a job makes its next run, for people."""
    return f"{job.next_at:%Y-%m-%d %H:%M:%SZ}" if job.next_at else "when asked for"


def _list(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import columns, show, with_client

    async def act(client: Client) -> int:
        page = await client.jobs.list(limit=chosen.limit)
        rows = [(job.name, job.version, job.queue, job.next_at, job.id) for job in page.items]
        show(page, as_json=chosen.json, text=columns(("NAME", "VERSION", "QUEUE", "NEXT RUN", "ID"), rows))
        return 0

    return with_client(chosen, act)


def _show(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show, with_client

    async def act(client: Client) -> int:
        job = await client.jobs.get(chosen.job)
        show(job, as_json=chosen.json, text=_text(job))
        return 0

    return with_client(chosen, act)


def _create(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show, with_client
    from etlplus.cli.documents import read_document
    from etlplus.errors import NotFound

    document = read_document(chosen.file)
    draft = document.draft(**({"name": chosen.name} if chosen.name else {}))

    async def act(client: Client) -> int:
        with document.placing():
            try:
                known = await client.jobs.get(draft.name) if chosen.replace else None
            except NotFound:
                known = None
            if known is None:
                job = await client.jobs.create(draft)
            else:
                job = await client.jobs.replace(known.id, draft, expected_version=known.version)
        show(job, as_json=chosen.json, text=_text(job))
        return 0

    return with_client(chosen, act)


def _check(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show, with_client
    from etlplus.cli.documents import read_document
    from etlplus.errors import Invalid

    document = read_document(chosen.file)
    draft = document.draft()

    async def act(client: Client) -> int:
        with document.placing():
            if problems := await client.jobs.check(draft):
                raise Invalid("The job cannot be used.", problems)
        show([], as_json=chosen.json, text=f"{chosen.file}: valid")
        return 0

    return with_client(chosen, act)


def _delete(chosen: argparse.Namespace) -> int:
    from etlplus.cli.connection import show_gone, with_client

    async def act(client: Client) -> int:
        job = await client.jobs.get(chosen.job)
        await client.jobs.delete(job.id, expected_version=job.version)
        show_gone("job", job.name, as_json=chosen.json)
        return 0

    return with_client(chosen, act)
