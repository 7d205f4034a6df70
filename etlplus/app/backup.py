"""
A backup of a service on one machine: its store and the rows it refused, in one file, taken while it runs.

The file is a tar archive: the store as it was at one moment, the files of refused rows, and at the very end a manifest with
the size and the hash of each. A load writes its refused rows before it commits, and the store is copied first; so whatever
run the store knows as done, its rows are there. A file without its manifest was not finished, and is no backup.

Not in it: the key that signs tokens, since a backup should open no door; work in hand, which the store's runs repeat; and
what loads have written elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import IO

import msgspec

import etlplus
from etlplus.app.place import REJECTS, STORE, data_dir, store_file
from etlplus.errors import Conflict, Invalid
from etlplus.settings import Settings
from etlplus.store.sqlite import snapshot

MANIFEST = "backup.json"
FORM = 1


class Part(msgspec.Struct, frozen=True):
    """One file of a backup."""

    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds: ``files`` by name, and of which moment, program and schema the store is."""

    form: int = FORM
    made_at: datetime
    version: str
    schema_version: int
    files: dict[str, Part]


def back_up(settings: Settings, target: Path, *, replace: bool = False) -> Manifest:
    """Write a backup of the service that has these settings; it may be running.

    Args:
        target: The file to write; it appears when it is whole.
        replace: Whether it may take the place of another.

    Raises:
        Conflict: ``target`` exists, and is not to be replaced (code ``file_exists``).
        Invalid: the store is no file, is damaged, or ``target`` cannot be written.
        StoreUnavailable: there is no store.
    """
    source = store_file(settings)
    if target.exists() and not replace:
        raise _exists(target)
    with _workplace(target) as folder:
        made_at = datetime.now(UTC)
        schema_version = snapshot.take(source, folder / STORE)
        kept = sorted((data_dir(settings) / REJECTS).glob("[!.]*"))
        with (folder / "backup").open("xb") as file:
            os.fchmod(file.fileno(), 0o600)  # it holds rows of data, and hashes of passwords
            with tarfile.open(fileobj=file, mode="w") as archive:
                files = {STORE: _add(archive, STORE, folder / STORE)}
                files |= {name: _add(archive, name, each) for each in kept if (name := f"{REJECTS}/{each.name}")}
                manifest = Manifest(
                    made_at=made_at, version=etlplus.__version__, schema_version=schema_version, files=files
                )
                _add_manifest(archive, manifest)
            file.flush()
            os.fsync(file.fileno())
        _publish(folder / "backup", target, replace)
    return manifest


@contextmanager
def _workplace(target: Path) -> Generator[Path]:
    """A folder beside the target, so that the backup can be moved to it at once."""
    try:
        folder = Path(mkdtemp(prefix=f".{target.name}.", dir=target.absolute().parent))
    except OSError as error:
        raise Invalid(f"{target} cannot be written: {error.strerror}") from error
    try:
        yield folder
    except OSError as error:
        raise Invalid(f"{target} cannot be written: {error.strerror or error}") from error
    finally:
        rmtree(folder)


def _add(archive: tarfile.TarFile, name: str, file: Path) -> Part:
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        content.seek(0)
        entry = _entry(name, os.fstat(content.fileno()).st_size)
        archive.addfile(entry, content)
    return Part(entry.size, sha256)


def _add_manifest(archive: tarfile.TarFile, manifest: Manifest) -> None:
    content = msgspec.json.format(msgspec.json.encode(manifest))
    archive.addfile(_entry(MANIFEST, len(content)), BytesIO(content))


def _entry(name: str, size_bytes: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size_bytes, 0o600
    return entry


def _publish(file: Path, target: Path, replace: bool) -> None:
    """The whole file appears under its name at once, and does not replace what has come there meanwhile."""
    if replace:
        file.replace(target)
    else:
        try:
            os.link(file, target)
        except FileExistsError:
            raise _exists(target) from None
    sync_folder(target.absolute().parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(target: Path) -> Conflict:
    return Conflict(f"{target} exists: name another file, or replace it with --force", code="file_exists")


def unpack(source: Path, folder: Path) -> Manifest:
    """Take a backup apart into a folder, and see that it is whole.

    Raises:
        Invalid: it is no backup, not finished or damaged.
    """
    found: dict[str, Part] = {}
    manifest: Manifest | None = None
    try:
        with tarfile.open(source, "r:") as archive:
            for entry in archive:
                content = archive.extractfile(entry)
                if content is None or (entry.name != MANIFEST and not _is_ours(entry.name)):
                    raise Invalid(f"{source} is no backup of etlplus: it has {entry.name!r} in it")
                if entry.name == MANIFEST:
                    manifest = msgspec.json.decode(content.read(), type=Manifest)
                else:
                    found[entry.name] = _copy(content, folder / entry.name)
    except (OSError, tarfile.TarError, msgspec.DecodeError) as error:
        raise Invalid(f"{source} is no backup that can be read: {error}") from error
    if manifest is None or STORE not in manifest.files:
        raise Invalid(f"{source} is not whole: its end is missing")
    if wrong := sorted(name for name in manifest.files | found if manifest.files.get(name) != found.get(name)):
        raise Invalid(f"{source} is damaged: {', '.join(wrong)}")
    return manifest


def _is_ours(name: str) -> bool:
    """Only such names are unpacked, so that no backup writes anywhere else."""
    folder, _, file = name.rpartition("/")
    return name == STORE or (folder == REJECTS and file not in ("", ".", ".."))


def _copy(content: IO[bytes], target: Path) -> Part:
    target.parent.mkdir(exist_ok=True)
    digest, size_bytes = hashlib.sha256(), 0
    with target.open("xb") as file:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
            size_bytes += file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return Part(size_bytes, digest.hexdigest())
