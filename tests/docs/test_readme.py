"""What the README shows of a night, carried out in order against a real daemon."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
sys.path.insert(0, str(Path(__file__).parent))
from shells import open_shell
from test_queues_page import RUN, as_pattern, sessions

PAGE = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
CONSOLES = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_a_night_is_as_the_readme_shows_it(tmp_path: Path) -> None:
    """The job is stored and tried, and what the morning asks is answered as shown."""
    shown = [session for console in CONSOLES for session in sessions(console)]
    last = ""
    with open_shell(tmp_path) as shell:
        for name, text in FILES.items():
            (tmp_path / name).write_text(text)
        for command, output in shown:
            assert command.startswith("etlplus ")
            done = shell(*shlex.split(re.sub(r"\bRUN$", last, command))[1:])
            assert done.returncode == 0, (command, done.stderr)
            assert re.fullmatch(as_pattern(output, ""), done.stdout, re.DOTALL), (command, done.stdout)
            last = found[0] if (found := RUN.search(done.stdout)) else last
    assert len(shown) == PAGE.count("\n$ ") > 4
