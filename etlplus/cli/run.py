"""
``etlplus run``: one pipeline file, loaded here and now, without a daemon.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_interval, add_parameters, interval, parameters

if TYPE_CHECKING:
    from collections.abc import Generator

    from etlplus.actors.news import News
    from etlplus.cli.documents import Document
    from etlplus.jobs.views import RunView

_EPILOG = """\
The load has all the guarantees of a daemon's: it commits as a whole or not at all, and every row is accounted for. Refused
rows are kept in the data directory; name one to look at them afterwards.

examples:
  etlplus run people.yaml
  etlplus run people.yaml --param source=people-of-may.csv --data-dir kept
  etlplus run orders.yaml --interval 2026-03-28T00:00:00Z/2026-03-29T00:00:00Z
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "run", "load one pipeline file in the foreground, without a daemon", _EPILOG)
    parser.add_argument("pipeline", metavar="PIPELINE", type=Path, help="a pipeline or job in YAML, JSON or TOML")
    add_parameters(parser)
    add_interval(parser)
    parser.add_argument("--data-dir", metavar="DIR", help="keep state and refused rows here instead of nowhere")
    parser.set_defaults(act=_run)


def _run(chosen: argparse.Namespace) -> int:
    import trio  # help must not wait for it

    from etlplus.cli.documents import read_document
    from etlplus.cli.following import exit_of_run
    from etlplus.cli.interrupt import interruptible
    from etlplus.cli.progress import summary
    from etlplus.telemetry import set_up_logging

    set_up_logging("warning", "auto")
    document = read_document(chosen.pipeline)
    given, stretch = parameters(chosen.param), interval(chosen.interval)
    with _data_dir(chosen.data_dir) as folder:
        run = trio.run(interruptible, _load, document, given, stretch, folder)
    print(summary(run))
    return exit_of_run(run)


@contextmanager
def _data_dir(named: str | None) -> Generator[str]:
    if named is not None:
        yield named
        return
    with TemporaryDirectory(prefix="etlplus-run-") as folder:
        yield folder


async def _load(
    document: Document, params: dict[str, object], stretch: tuple[datetime, datetime] | None, data_dir: str
) -> RunView:
    from etlplus.app import open_service
    from etlplus.cli.following import follow
    from etlplus.cli.progress import ProgressLine
    from etlplus.jobs.model import RetryPolicy
    from etlplus.settings import Engine, Settings

    # One try: whoever waits at the prompt is the retry policy.
    draft = document.draft(schedule=None, retry=RetryPolicy(attempts_max=1))
    async with open_service(Settings(data_dir=data_dir, engine=Engine(slots=1))) as service:
        with document.placing():
            job = await service.jobs.create(draft)
        async with service.events.watch(("runs",)) as feed:
            run = await service.runs.start(job.id, params, interval=stretch)
            return await follow(run, _news(feed), ProgressLine(sys.stderr))


async def _news(feed: AsyncIterable[bytes]) -> AsyncGenerator[News]:
    import msgspec

    from etlplus.actors.news import News

    decoder = msgspec.json.Decoder[News](News)
    async for encoded in feed:
        yield decoder.decode(encoded)
