"""
A command that asks a running daemon one thing: its common arguments, and how it is carried out.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_daemon

if TYPE_CHECKING:
    from etlplus.client import Client

Act = Callable[["Client", argparse.Namespace], Awaitable[int]]


def add_daemon_command(
    commands: Commands, name: str, summary: str, act: Act, epilog: str = ""
) -> argparse.ArgumentParser:
    """One more command, which ``act`` carries out with a client that is signed in."""
    parser = add_command(commands, name, summary, epilog)
    add_daemon(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")

    def carry_out(chosen: argparse.Namespace) -> int:
        from etlplus.cli.connection import with_client  # help must not wait for it

        return with_client(chosen, lambda client: act(client, chosen))

    parser.set_defaults(act=carry_out)
    return parser
