"""A local engine with scripted children that must leave nothing behind."""

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from etlplus.engines.local import LocalOptions, open_local

sys.path.insert(0, str(Path(__file__).parent))  # for the kit that only these tests share

from engine_kit import COMMAND, children_of


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def opened(data_dir):
    """Open an engine on the scripted children, and look afterwards that it left nothing behind."""

    @asynccontextmanager
    async def opening(**options):
        before = children_of(os.getpid())
        async with open_local(
            LocalOptions(**{"data_dir": data_dir, "slots": 1, "spares": 0, "child_command": COMMAND, **options})
        ) as engine:
            yield engine
        assert children_of(os.getpid()) == before
        assert list((data_dir / "children").iterdir()) == []
        assert list((data_dir / "work").iterdir()) == []

    return opening


@pytest.fixture
def started():
    """Start programs that are ended with the test."""
    programs = []

    def start(*command, **options):
        programs.append(subprocess.Popen(command, **options))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()
        program.wait()
        for stream in (program.stdin, program.stdout, program.stderr):
            if stream:
                stream.close()
