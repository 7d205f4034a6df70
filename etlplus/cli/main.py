"""
The command line as a whole: which commands there are, and how an error becomes a sentence and a status.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import cast

from etlplus import __version__
from etlplus.cli import (
    apply,
    backup,
    check,
    demo,
    jobs,
    letters,
    migrate,
    queues,
    run,
    runs,
    schedules,
    serve,
    signin,
    status,
)
from etlplus.cli.arguments import completed
from etlplus.cli.exits import Exit, exit_of, table
from etlplus.errors import EtlplusError

_EXAMPLES = """\
examples:
  etlplus run pipeline.yaml              load once, here and now, without a daemon
  etlplus serve --config FILE            run the daemon
  export ETLPLUS_TOKEN=$(etlplus sign-in ada)
  etlplus jobs create flights.yaml       store a job in the running daemon
  etlplus runs start flights --follow    run it and watch

"""


def entry(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line; gives the exit status."""
    parser = _parser()
    chosen = parser.parse_args(completed(sys.argv[1:] if arguments is None else arguments))
    if not hasattr(chosen, "act"):
        parser.print_help()
        return Exit.USAGE
    try:
        status = chosen.act(chosen)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - told, or raised again
        return _told(error)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="etlplus",
        description="Load data exactly as promised: every row accounted for, nothing lost, nothing doubled.",
        epilog=_EXAMPLES + table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"etlplus {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for room in (
        serve,
        run,
        jobs,
        runs,
        letters,
        queues,
        schedules,
        apply,
        status,
        signin,
        backup,
        migrate,
        check,
        demo,
    ):
        room.add_to(commands)
    return parser


def _told(error: BaseException) -> Exit:
    """Say what went wrong, in a sentence where it is ours to say. Any other error is a mistake and keeps its traceback.

    Trio hands errors out in groups, and a group may hold several.
    """
    leaves = list(_leaves(error))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return Exit.INTERRUPTED
    if all(isinstance(leaf, BrokenPipeError) for leaf in leaves):
        return _unread()
    ours = [leaf for leaf in leaves if isinstance(leaf, EtlplusError)]
    if len(ours) < len(leaves):
        raise error
    for told in ours:
        print(f"etlplus: {told}", file=sys.stderr)
    return exit_of(ours[0])


def _unread() -> Exit:
    """Who read our output has gone, as `| head` does. Nothing more is written, also not by the interpreter as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return Exit.OK


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for member in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(member)
    else:
        yield error
