"""A data directory serves one daemon at a time."""

import os
import subprocess
import sys

import pytest

from etlplus.engines.tenancy import Address, address_of, announced, hold, machine
from etlplus.errors import Conflict, Misconfigured

HOLDER = """
import sys
from pathlib import Path
from etlplus.engines.tenancy import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_directory_can_be_held_again_after_it_was_left(tmp_path):
    """It is made if missing."""
    for _ in range(2):
        with hold(tmp_path / "a" / "b"):
            assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.slow
def test_a_second_daemon_is_refused_with_the_holder_named(tmp_path, started):
    """The sentence says who holds it; once the holder was killed, the directory is free."""
    holder = started(sys.executable, "-c", HOLDER, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Conflict, match=f"in use by process {holder.pid}") as refused, hold(tmp_path):
        raise AssertionError("the directory was held twice")
    assert refused.value.reason == "data_dir_in_use"
    holder.kill()
    holder.wait()
    with hold(tmp_path):
        pass


def test_an_error_of_who_holds_it_is_not_taken_for_a_second_holder(tmp_path):
    """A pipe that is full raises the same error as a lock that is taken."""
    with pytest.raises(BlockingIOError, match="mine"), hold(tmp_path):
        raise BlockingIOError("mine")


def test_a_directory_that_cannot_be_made_is_the_operators_to_mend(tmp_path):
    """The option is named."""
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured) as refused, hold(tmp_path / "file" / "data"):
        pass
    assert refused.value.problems[0].pointer == "/data_dir"


def test_the_address_of_a_directory_is_told_while_somebody_answers(tmp_path):
    """With the process that said so, since one that was killed leaves its word behind."""
    assert address_of(tmp_path) is None
    with announced(tmp_path, 1, 2):
        assert address_of(tmp_path) == Address(os.getpid(), 1, 2)
    assert address_of(tmp_path) is None


def test_a_machine_has_a_name():
    """Node and boot together tell a dead predecessor on this host from a living worker on another."""
    assert machine() == machine()
    assert machine()[0]


def test_a_new_directory_is_its_owners_alone(tmp_path):
    """Signing keys, password hashes and refused rows lie in it."""
    with hold(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o077 == 0
