"""The environments of the peers: which Python, made once, and why not."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers.environment import NotPrepared, interpreter, prepared


def test_the_python_we_run_on_is_preferred():
    """Peers are measured on the same Python as etlplus wherever they support it."""
    assert interpreter((3, 11)) == Path(sys.executable)


def test_a_python_that_nobody_has_is_named():
    """The reader learns which version to install."""
    with pytest.raises(NotPrepared, match=r"needs Python 9\.0 or newer"):
        interpreter((9, 0))


@pytest.mark.slow
def test_an_environment_is_made_once(tmp_path):
    """The second call finds what the first has made; changed pins make it anew."""
    pins = tmp_path / "pins.txt"
    pins.write_text("# nothing\n")
    python = prepared("fake", pins, (3, 11), tmp_path / "envs")
    assert (
        subprocess.run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"], check=False).returncode
        == 0
    )
    trace = tmp_path / "envs" / "fake" / "trace"
    trace.touch()
    assert prepared("fake", pins, (3, 11), tmp_path / "envs") == python
    assert trace.exists()
    pins.write_text("# nothing else\n")
    assert prepared("fake", pins, (3, 11), tmp_path / "envs") == python
    assert not trace.exists()


@pytest.mark.slow
def test_what_cannot_be_installed_is_a_reason(tmp_path):
    """pip's own words say what is missing, and the environment does not count as ready."""
    pins = tmp_path / "pins.txt"
    pins.write_text(f"{tmp_path}/missing-1.0-py3-none-any.whl\n")
    for _ in range(2):
        with pytest.raises(NotPrepared, match=r"python -m pip failed: (?s:.)*missing-1\.0"):
            prepared("fake", pins, (3, 11), tmp_path / "envs")
