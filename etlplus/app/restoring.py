"""
Putting a service back to what a backup holds, while it does not run; what was there before is kept aside.

The store is replaced by one rename, so a restore that is interrupted leaves either the old or the new one. The key that signs
tokens is forgotten: a token that was revoked since the backup must not count again, so everybody signs in anew.
"""

from __future__ import annotations

import errno
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp

import msgspec
import structlog

from etlplus.app.backup import Manifest, sync_folder, unpack
from etlplus.app.place import REJECTS, SECRET, STORE, data_dir, store_file
from etlplus.engines.tenancy import hold
from etlplus.errors import Invalid
from etlplus.settings import Settings
from etlplus.store.sqlite import snapshot

log = structlog.get_logger()


class Restored(msgspec.Struct, frozen=True):
    """What was restored, and where the store is now that was there before; None if there was none."""

    manifest: Manifest
    aside: Path | None


def restore(settings: Settings, source: Path) -> Restored:
    """Make the service of these settings what ``source`` holds.

    Raises:
        Conflict: the service runs (code ``data_dir_in_use``).
        Invalid: ``source`` is no backup, damaged, or there is no room to unpack it; nothing was changed.
        Misconfigured: a newer program made it (code ``schema_newer``); nothing was changed.
    """
    store, home = store_file(settings), data_dir(settings)
    with hold(home):
        store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".restore-", dir=home))
        try:
            manifest = unpack(source, folder)
            snapshot.verify(folder / STORE)
            _put_rejects(folder / REJECTS, home / REJECTS)
            (home / SECRET).unlink(missing_ok=True)
            aside = _set_aside(store)
            _move(folder / STORE, store)
            sync_folder(store.parent)
        finally:
            shutil.rmtree(folder)
    return Restored(manifest, aside)


def _put_rejects(source: Path, target: Path) -> None:
    """Refused rows are named after run and attempt; those of later runs stay, for the store that is set aside."""
    if not source.exists():
        return
    target.mkdir(mode=0o700, exist_ok=True)
    for file in source.iterdir():
        file.replace(target / file.name)
    sync_folder(target)


def _move(file: Path, target: Path) -> None:
    """Rename, by way of a copy if the target is on another disk."""
    try:
        file.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = target.with_name(f".{target.name}.restored")
        shutil.copyfile(file, copy)
        with copy.open("rb+") as content:
            os.fsync(content.fileno())
        copy.replace(target)


def _set_aside(store: Path) -> Path | None:
    """Give the old store a second name, and take its log away: beside another store it would be poison.

    The second name comes first, and the log gets one too: of a damaged store, which may be why somebody restores, SQLite
    removes the log as soon as it is asked to read it. Of any other store all is in the file then, and the log is empty.
    """
    if not store.exists():
        return None
    aside = store.with_name(f"{store.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    log_file, log_aside = (file.with_name(file.name + "-wal") for file in (store, aside))
    os.link(store, aside)
    if log_file.exists():
        os.link(log_file, log_aside)
    try:
        snapshot.gather(store)
    except Invalid as error:
        log.warning("old_store_damaged", error=str(error))
    else:
        log_aside.unlink(missing_ok=True)
    for file in (log_file, store.with_name(store.name + "-shm")):
        file.unlink(missing_ok=True)
    return aside
