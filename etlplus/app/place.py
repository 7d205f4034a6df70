"""
Where the service that the settings ask for keeps what it must not lose.
"""

from __future__ import annotations

from pathlib import Path

from etlplus.errors import Invalid, Problem
from etlplus.settings import Settings

STORE = "store.sqlite"
REJECTS = "rejects"
SECRET = "token-secret"


def data_dir(settings: Settings) -> Path:
    """The folder of this service alone."""
    return Path(settings.data_dir).absolute()


def store_url(settings: Settings) -> str:
    """The address of the store; unless told otherwise, a file in the data directory."""
    return settings.store.url or f"sqlite:{data_dir(settings) / STORE}"


def store_file(settings: Settings) -> Path:
    """The file of a SQLite store.

    Raises:
        Invalid: the store is none, or in memory.
    """
    kind, _, file = store_url(settings).partition(":")
    if kind != "sqlite" or file == ":memory:":
        problem = Problem(
            "this store is not a file",
            "/store/url",
            suggestion="for PostgreSQL, pg_dump and pg_restore; docs/operations.md shows how",
        )
        raise Invalid("only a store in a file can be backed up and restored like that", [problem])
    return Path(file).absolute()
