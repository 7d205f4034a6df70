"""
``etlplus backup`` and ``etlplus restore``: what a service on one machine must not lose, in one file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from etlplus.cli.arguments import Commands, add_command, add_configuration, configuration

if TYPE_CHECKING:
    from etlplus.app.backup import Manifest

_BACKUP = """\
The daemon may run meanwhile. The file holds the store as it was at one moment and all refused rows, but no key to sign tokens
with. It appears when it is whole. A store on PostgreSQL is backed up with pg_dump: docs/operations.md shows how.
"""
_RESTORE = """\
The daemon must not run. Nothing is changed unless the backup is whole and this program understands it; the store that was
there is kept beside the new one. Everybody signs in anew.
"""


def add_to(commands: Commands) -> None:
    """Teach the command line these commands."""
    back_up = add_command(commands, "backup", "write a backup of this machine's service to a file", _BACKUP)
    back_up.add_argument("file", metavar="FILE", type=Path, help="the file to write")
    back_up.add_argument("--force", action="store_true", help="replace the file if there is one")
    back_up.set_defaults(act=_back_up)
    restore = add_command(commands, "restore", "put this machine's service back to a backup", _RESTORE)
    restore.add_argument("file", metavar="FILE", type=Path, help="a backup")
    restore.set_defaults(act=_restore)
    for parser in (back_up, restore):
        add_configuration(parser)


def _back_up(chosen: argparse.Namespace) -> int:
    settings = configuration(chosen).settings
    from etlplus.app.backup import back_up  # help must not wait for it

    print(f"{chosen.file}: {_summary(back_up(settings, chosen.file, replace=chosen.force))}")
    return 0


def _restore(chosen: argparse.Namespace) -> int:
    settings = configuration(chosen).settings
    from etlplus.app.restoring import restore  # help must not wait for it

    restored = restore(settings, chosen.file)
    print(f"restored {_summary(restored.manifest)}, made {restored.manifest.made_at:%Y-%m-%d %H:%M:%SZ}")
    if restored.aside is not None:
        print(f"the store that was there is kept as {restored.aside}")
    return 0


def _summary(manifest: Manifest) -> str:
    sizes = [part.size_bytes for part in manifest.files.values()]
    return (
        f"a store of schema version {manifest.schema_version} and {len(sizes) - 1} files of refused rows, "
        f"{sum(sizes):,} bytes"
    )
