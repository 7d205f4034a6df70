"""
A Parquet file: written beside its place, and published by one rename that a manifest vouches for.

``PATH.manifest.json`` holds the proofs of past commits and is only changed under a lock on ``PATH.lock``. A commit
first names the file that is about to be published (``pending``), then renames it, then makes it the last proof. A crash in
between is judged by the data itself: if the published file has the pending one's checksum, the rename happened and the
proof is completed; if not, it did not happen and the pending entry is dropped. Called by the load.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from etlplus.connectors.contract import BATCH_ROWS, REMEMBERED, Claim, ConnectorFailed, Token, next_token, stale
from etlplus.jobs.outcome import Figures

if TYPE_CHECKING:
    import duckdb

LOCKED_S = 10.0  # how long a commit waits for other writers
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Proof(msgspec.Struct, frozen=True):
    """A token, and the checksum of the file it speaks of."""

    token: Token
    sha256: str


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was published, the last one at the end, and what is being published at this moment."""

    proofs: tuple[Proof, ...] = ()
    pending: Proof | None = None

    @property
    def last(self) -> Token | None:
        return self.proofs[-1].token if self.proofs else None


class ParquetDestination:
    """See ``contract.Destination``. Always replaces the whole file."""

    kind = "parquet"
    guarantee = "publish"
    mode = "replace"

    def __init__(self, path: Path, claim: Claim) -> None:
        self.target = str(path)
        self._path = path
        self._claim = claim
        self._lock = path.with_name(path.name + ".lock")
        self._manifest = path.with_name(path.name + ".manifest.json")
        self._temp = path.with_name(f".{path.name}.{claim.run_id}.{claim.attempt}.tmp")
        self._base: Token | None = None
        self._rows = 0

    def begin(self) -> Token | None:
        with self._failing(), self._locked():
            manifest = self._repaired()
            self._clear_leftovers()
        self._base = manifest.last
        return self._own(manifest)

    def stage(self, con: duckdb.DuckDBPyConnection, relation: str, tick: Callable[[int], None]) -> int:
        from pyarrow import parquet

        offered = [n for n in con.sql(f"select * from {_quoted(relation)} limit 0").columns if not n.startswith("__")]
        query = f"select {', '.join(map(_quoted, offered))} from {_quoted(relation)}"
        batches = con.sql(query).to_arrow_reader(BATCH_ROWS)
        with self._failing():
            with self._temp.open("wb") as file, parquet.ParquetWriter(file, batches.schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)  # pyright: ignore[reportUnknownMemberType]  # the wheel is untyped
                    self._rows += batch.num_rows
                    tick(batch.num_rows)
            _sync(self._temp)
        return self._rows

    def commit(self, figures: Figures) -> Token:
        with self._failing(), self._locked():
            manifest = self._repaired()
            if (own := self._own(manifest)) is not None:
                self.abandon()
                return own
            if manifest.last != self._base:
                raise stale(self.target, self._base, manifest.last)
            proof = Proof(next_token(self._base, self._claim, self._rows, figures), _sha256(self._temp))
            self._write(msgspec.structs.replace(manifest, pending=proof))
            self._temp.replace(self._path)
            _sync(self._path.parent)
            self._write(Manifest((*manifest.proofs, proof)[-REMEMBERED:]))
            return proof.token

    def abandon(self) -> None:
        self._temp.unlink(missing_ok=True)

    def _own(self, manifest: Manifest) -> Token | None:
        mine = (self._claim.job_id, self._claim.sink, self._claim.run_id)
        tokens = [proof.token for proof in manifest.proofs]
        return next((token for token in tokens if (token.job_id, token.sink, token.run_id) == mine), None)

    def _repaired(self) -> Manifest:
        """The manifest, with a commit that a crash cut short completed or dropped. Under the lock."""
        try:
            manifest = msgspec.json.decode(self._manifest.read_bytes(), type=Manifest)
        except FileNotFoundError:
            return Manifest()
        except msgspec.DecodeError as error:
            raise ConnectorFailed("destination_unavailable", f"{self._manifest} cannot be read: {error}") from error
        pending = manifest.pending
        if pending is None:
            return manifest
        happened = self._path.exists() and _sha256(self._path) == pending.sha256
        mended = Manifest((*manifest.proofs, pending)[-REMEMBERED:] if happened else manifest.proofs)
        self._write(mended)
        return mended

    def _write(self, manifest: Manifest) -> None:
        """The new manifest, whole or not at all, on the disk before this returns."""
        new = self._manifest.with_name(f".{self._manifest.name}.new")
        new.write_bytes(msgspec.json.encode(manifest))
        _sync(new)
        new.replace(self._manifest)
        _sync(self._manifest.parent)

    def _clear_leftovers(self) -> None:
        """Remove what earlier attempts staged here; ids of runs grow with time, so a later attempt's file is spared."""
        before, after = f".{self._path.name}.", ".tmp"
        for file in self._path.parent.iterdir():
            if file.name.startswith(before) and file.name.endswith(after):
                run_id, _, attempt = file.name[len(before) : -len(after)].rpartition(".")
                if attempt.isdigit() and (run_id, int(attempt)) <= (self._claim.run_id, self._claim.attempt):
                    file.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Generator[None, None, None]:
        deadline = time.monotonic() + LOCKED_S
        with self._lock.open("ab") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        said = f"{self._lock} was locked for {LOCKED_S:g} s"
                        raise ConnectorFailed("destination_unavailable", said, retryable=True) from None
                    time.sleep(0.02)
            yield

    @contextmanager
    def _failing(self) -> Generator[None, None, None]:
        try:
            yield
        except OSError as error:
            code = "destination_full" if error.errno in _FULL else "destination_unavailable"
            raise ConnectorFailed(code, f"{self.target}: {error}", retryable=True) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _sync(path: Path) -> None:
    """What was written to the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
