"""
CSV files as sources: unpacked, bounded by their checksum, and cut into records again to find one row's own bytes.

The dialect is fixed (comma, double quote, a header), so that DuckDB and the second pass over the bytes agree on what a
record is. Called by the load; parsing values is DuckDB's part.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from etlplus.connectors.contract import ConnectorFailed

DIALECT = "delim = ',', quote = '\"', escape = '\"', header = true"


class Bounds(msgspec.Struct, frozen=True):
    """Exactly which bytes a run reads. Times in nanoseconds since 1970, sizes in bytes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


def bounds(path: Path) -> Bounds:
    """The file as it is now. Raises ConnectorFailed (source_unreadable).

    Its stamp is taken before its checksum: whoever writes to it amid the checksum, or right after it, is noticed later.
    """
    try:
        size, mtime_ns = stamp(path)
        with path.open("rb") as file:
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    return Bounds(str(path), size, mtime_ns, checksum)


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of last change: what tells cheaply that a file was changed while it was read.

    Raises ConnectorFailed for what is no file: a pipe or a device may have no end, and cannot be read a second time.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ConnectorFailed("source_unreadable", f"{path} cannot be read: it is no file")
    return found.st_size, found.st_mtime_ns


def unpack(path: Path, into: Path) -> Path:
    """The plain file: ``path`` itself, or its only content, unpacked to ``into``. Raises ConnectorFailed for what cannot be
    read, and OSError for what cannot be written.
    """
    if path.suffix.lower() not in {".zip", ".gz"}:
        return path
    with into.open("wb") as plain:
        for part in _unpacked(path):
            plain.write(part)
    return into


def _unpacked(path: Path) -> Iterator[bytes]:
    """The packed content, piece by piece. Raises ConnectorFailed."""
    try:
        with opened(path) as packed:
            while part := packed.read(1 << 20):
                yield part
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error


def opened(path: Path) -> IO[bytes]:
    """The CSV's bytes, whatever they are packed in. Raises OSError, BadZipFile, or ConnectorFailed for what is no file or
    holds several.
    """
    stamp(path)
    match path.suffix.lower():
        case ".gz":
            return cast("IO[bytes]", gzip.open(path, "rb"))
        case ".zip":
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
                if len(members) != 1:
                    said = f"{path} holds {len(members)} files, and exactly one is expected"
                    raise ConnectorFailed("source_unreadable", said)
                return archive.open(members[0])
        case _:
            return path.open("rb")


def records(path: Path) -> Iterator[bytes]:
    """The file's data records in order, each with its own bytes but without its line's end; the header is left out."""
    for _, record in placed_records(path):
        yield record


def placed_records(path: Path) -> Iterator[tuple[int, bytes]]:
    """The same records, each with the byte at which it begins."""
    with path.open("rb") as file:
        found = _records(file)
        _, header = next(found, (0, b""))
        skips_blank = b"," in header
        yield from (placed for placed in found if placed[1] or not skips_blank)


def _records(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    begin, whole = 0, b""
    for line in file:
        whole += line
        if b'"' not in whole or not _open_quote(whole):
            yield begin, whole.rstrip(b"\r\n")
            begin, whole = begin + len(whole), b""
    if whole:
        yield begin, whole.rstrip(b"\r\n")


def _open_quote(text: bytes) -> bool:
    """Whether the text ends inside a quoted field. A quote opens a field only at the field's start."""
    inside = False
    at_start = True
    for byte in text:
        if byte == 0x22 and (inside or at_start):
            inside, at_start = not inside, inside  # a quote right after a closing one opens it again
        else:
            at_start = not inside and byte == 0x2C
    return inside


def _unreadable(path: Path, error: Exception) -> ConnectorFailed:
    may_come_back = isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile)
    why = error.strerror if isinstance(error, OSError) and error.strerror else error
    return ConnectorFailed("source_unreadable", f"{path} cannot be read: {why}", retryable=may_come_back)
