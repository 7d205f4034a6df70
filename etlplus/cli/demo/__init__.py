"""
``etlplus demo``: real data through a real daemon, from nothing to reconciled figures, and everything ended in order.

It does what a newcomer would do by hand: starts a daemon of its own, makes the first admin with the one-time token, signs in,
defines a job over REST, starts a run and follows it over WebSocket. It then counts for itself what must have happened, and
succeeds only if the daemon's figures, the destinations and its own count agree.
"""

from __future__ import annotations

import argparse

from etlplus.cli.arguments import Commands, add_command

_EPILOG = """\
The data are all flights that left New York City in 2013, with the airlines and airports they name. Everything is made in
the folder --dir; the job is config/demo/flights.yaml of the project's folder, where the demo is run.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "demo", "load real data through a daemon of its own, and check the result", _EPILOG)
    parser.add_argument("--dir", default="var/demo", metavar="DIR", help="where everything is made (var/demo)")
    parser.add_argument("--keep", action="store_true", help="leave the daemon running, and say where it is")
    parser.add_argument("--stop", action="store_true", help="end the daemon that --keep left running")
    parser.set_defaults(act=_act)


def _act(chosen: argparse.Namespace) -> int:
    from pathlib import Path  # help must not wait for it

    import trio

    from etlplus.cli.demo import daemon, story
    from etlplus.cli.interrupt import interruptible

    folder = Path(chosen.dir).resolve()
    if chosen.stop:
        return trio.run(daemon.stop_kept, folder)
    return trio.run(interruptible, story.tell, folder, chosen.keep)
