"""Processes are known by more than their number."""

import os
import sys

import pytest
from engine_kit import is_alive

from etlplus.engines import survivors


def test_a_process_keeps_its_identity_and_another_has_another(started):
    """The same process twice is the same; two processes never are."""
    one, other = started("sleep", "3600"), started("sleep", "3600")
    assert survivors.identity(one.pid) == survivors.identity(one.pid)
    assert survivors.identity(one.pid) != survivors.identity(os.getpid())
    assert survivors.identity(other.pid) is not None


def test_a_dead_process_has_no_identity_even_before_it_is_reaped(started):
    """A zombie holds its number, and nothing else."""
    program = started(sys.executable, "-c", "pass")
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert survivors.identity(program.pid) is None
    program.wait()
    assert survivors.identity(program.pid) is None


def test_ps_tells_the_start_where_there_is_no_proc(started):
    """The fallback knows living from dead as well."""
    program = started("sleep", "3600")
    try:
        assert survivors._start_time_by_ps(program.pid)
    except FileNotFoundError:
        pytest.skip("this machine has no ps")
    program.kill()
    program.wait()
    assert survivors._start_time_by_ps(program.pid) is None


async def test_a_record_whose_process_has_ended_is_removed(tmp_path, started):
    """Nothing is killed, and the folder is clean."""
    program = started("sleep", "3600")
    survivors.remember(tmp_path, program.pid)
    program.kill()
    program.wait()
    assert await survivors.kill_survivors(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


async def test_a_number_that_was_given_out_again_is_left_alone(tmp_path, started):
    """The process that has the number now is a stranger."""
    program = started("sleep", "3600", start_new_session=True)
    record = survivors.remember(tmp_path, program.pid)
    record.write_text(record.read_text() + "0")
    assert await survivors.kill_survivors(tmp_path) == []
    assert is_alive(program.pid)
