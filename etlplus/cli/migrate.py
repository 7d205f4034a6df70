"""
``etlplus migrate``: bring the schema of the store to this program's version, or say what that would do.
"""

from __future__ import annotations

import argparse

from etlplus.cli.arguments import Commands, add_command, add_configuration, configuration
from etlplus.cli.exits import Exit

_EPILOG = """\
A daemon does this when it starts. With --check nothing is changed, and the status is 0 if there is nothing to do and 6 if
there is. Nodes on PostgreSQL may run meanwhile, also those of the version before; a daemon on a file may not.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line this command."""
    parser = add_command(commands, "migrate", "bring the schema of the store to this version", _EPILOG)
    parser.add_argument("--check", action="store_true", help="say what would be done, and do nothing")
    add_configuration(parser)
    parser.set_defaults(act=_migrate)


def _migrate(chosen: argparse.Namespace) -> int:
    settings = configuration(chosen).settings
    import trio  # help must not wait for it

    from etlplus.app.migrating import find_upgrade, migrate

    upgrade = trio.run(find_upgrade if chosen.check else migrate, settings)
    if not upgrade.lacks:
        print(f"the store is at schema version {upgrade.found}: nothing to do")
        return Exit.OK
    print(f"schema version {upgrade.found} to {upgrade.reaches}: {'would apply' if chosen.check else 'applied'}")
    print("\n".join(f"  {name}" for name in upgrade.lacks))
    return Exit.CONFLICT if chosen.check else Exit.OK
