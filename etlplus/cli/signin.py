"""
``etlplus sign-in``: trade a password for a bearer token, or make the first admin.
"""

from __future__ import annotations

import argparse
import os
from getpass import getpass

from etlplus.cli.arguments import Commands, add_command, add_daemon

_EPILOG = """\
The password is asked for, or taken from the variable ETLPLUS_PASSWORD. The token goes to standard output:

  export ETLPLUS_TOKEN=$(etlplus sign-in ada)
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "sign-in", "get a bearer token from the daemon", _EPILOG)
    parser.add_argument("name", metavar="NAME", help="who you are")
    parser.add_argument("--first", metavar="TOKEN", help="make NAME the first admin, with the one-time bootstrap token")
    add_daemon(parser)
    parser.set_defaults(act=_sign_in)


def _sign_in(chosen: argparse.Namespace) -> int:
    import trio  # help must not wait for it

    password = os.environ.get("ETLPLUS_PASSWORD") or getpass(f"password of {chosen.name}: ")
    print(trio.run(_token, chosen, password))
    return 0


async def _token(chosen: argparse.Namespace, password: str) -> str:
    from etlplus.client import connect

    async with connect(chosen.url) as client:
        if chosen.first:
            await client.identity.bootstrap(chosen.first, chosen.name, password)
        return (await client.identity.sign_in(chosen.name, password)).access_token
