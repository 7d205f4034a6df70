"""A schema is brought up to date apart from the daemon, or it is said what that would do."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
import trio

from etlplus.cli import entry
from etlplus.cli.exits import Exit
from etlplus.engines.tenancy import hold
from etlplus.store.postgres import schema as postgres
from etlplus.store.postgres.bridge import open_bridge
from etlplus.store.sqlite import schema as sqlite
from etlplus.testing.servers import private_postgres


def migrate(*words: str, **options: object) -> int:
    flags = [word for name, value in options.items() for word in ("--set", f"{name.replace('__', '.')}={value}")]
    return entry(["migrate", *words, *flags])


def version_of(file: Path) -> int:
    with sqlite3.connect(file) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return version


def test_a_file_is_brought_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check tells and changes nothing, also not beside a daemon; without it the file is changed, if nobody uses it."""
    assert migrate("--check", data_dir=tmp_path / "none") == Exit.CONFLICT
    assert not (tmp_path / "none").exists()
    file = tmp_path / "store.sqlite"
    db = sqlite3.connect(file, isolation_level=None)
    sqlite.migrate(db, 3)
    db.close()
    capsys.readouterr()
    lacks = "".join(f"  {name}\n" for name in sqlite.NAMES[3:])
    with hold(tmp_path):
        assert migrate("--check", data_dir=tmp_path) == Exit.CONFLICT
        assert capsys.readouterr().out == f"schema version 3 to {len(sqlite.NAMES)}: would apply\n{lacks}"
        assert migrate(data_dir=tmp_path) == Exit.CONFLICT
        assert f"in use by process {os.getpid()}" in capsys.readouterr().err
    assert version_of(file) == 3
    assert migrate(data_dir=tmp_path) == Exit.OK
    assert capsys.readouterr().out == f"schema version 3 to {len(sqlite.NAMES)}: applied\n{lacks}"
    assert version_of(file) == len(sqlite.MIGRATIONS)
    for words in ([], ["--check"]):
        assert migrate(*words, data_dir=tmp_path) == Exit.OK
        assert capsys.readouterr().out == f"the store is at schema version {len(sqlite.NAMES)}: nothing to do\n"


def test_a_newer_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with the status of configurations: another program is needed."""
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for words in ([], ["--check"]):
        assert migrate(*words, data_dir=tmp_path) == Exit.CONFIGURATION
        assert "use the newer program" in capsys.readouterr().err
    assert version_of(tmp_path / "store.sqlite") == 99


@pytest.mark.slow
def test_a_database_is_brought_up_to_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same on PostgreSQL, from nothing and from an older version; --check makes not even a schema."""

    async def begin(address: str) -> None:
        async with open_bridge(address, postgres.SCHEMA) as bridge:
            assert not await bridge.run(lambda db: db.fetchval("SELECT to_regnamespace('etlplus') IS NOT NULL"))
            await bridge.run(lambda db: postgres.migrate(db, 2))

    with private_postgres() as address:
        options = {"store__url": address, "data_dir": tmp_path}
        assert migrate("--check", **options) == Exit.CONFLICT
        trio.run(begin, address)
        capsys.readouterr()
        lacks = "".join(f"  {name}\n" for name in postgres.NAMES[2:])
        assert migrate("--check", **options) == Exit.CONFLICT
        assert capsys.readouterr().out == f"schema version 2 to {len(postgres.NAMES)}: would apply\n{lacks}"
        assert migrate(**options) == Exit.OK
        assert capsys.readouterr().out == f"schema version 2 to {len(postgres.NAMES)}: applied\n{lacks}"
        assert migrate("--check", **options) == Exit.OK


def test_an_address_where_nobody_answers_is_unavailable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Later may do."""
    assert migrate(store__url=f"postgresql://etlplus@/etlplus?host={tmp_path}") == Exit.UNAVAILABLE
    assert "the store does not answer" in capsys.readouterr().err
