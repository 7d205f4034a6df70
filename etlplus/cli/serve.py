"""
``etlplus serve``: the daemon in the foreground, until a signal ends it.
"""

from __future__ import annotations

import argparse

from etlplus.cli.arguments import Commands, add_command, add_configuration, configuration

_EPILOG = """\
The first SIGTERM or SIGINT drains: runs in hand may finish within shutdown.drain_s, what remains returns to its queue.
A second signal skips that. While there is no user, the file bootstrap-token in data_dir holds the token that makes the
first admin:

  etlplus sign-in ada --first $(cat data/bootstrap-token)
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "serve", "run the daemon in the foreground", _EPILOG)
    add_configuration(parser)
    parser.set_defaults(act=_serve)


def _serve(chosen: argparse.Namespace) -> int:
    settings = configuration(chosen).settings
    import trio  # help must not wait for it

    from etlplus.app import serve
    from etlplus.telemetry import set_up_logging

    set_up_logging(settings.log.level, settings.log.format)
    return trio.run(serve, settings)
