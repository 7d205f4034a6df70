"""The folder as a product of its own: what it needs, what it costs, and that it can be taken along."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import etlplus.runtime
import etlplus.runtime.testing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "etlplus" / "runtime"
TIMES = 9


def run(program: str, cwd: Path = ROOT, environ: Mapping[str, str] | None = None) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=cwd, env=environ)
    return done.stdout


def test_the_import_loads_trio_msgspec_and_the_standard_library_alone() -> None:
    """Beyond what those two load themselves, nothing but the folder."""
    loaded = "import sys; {}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    with_us = set(run(loaded.format("import etlplus.runtime, etlplus.runtime.testing")).split())
    without_us = set(run(loaded.format("import trio, trio.testing, msgspec")).split())
    assert with_us - without_us - sys.stdlib_module_names == {"etlplus"}
    rooms = run("import sys, etlplus.runtime; print(*[name for name in sys.modules if name.startswith('etlplus.')])")
    assert {name.split(".")[1] for name in rooms.split()} == {"runtime"}


def test_the_import_costs_little_more_than_what_it_stands_on(tmp_path: Path) -> None:
    """At most 1.3 times the import of trio and msgspec: the best of several, in processor time and in turn, once compiled."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)

    def cost_s(what: str) -> float:
        timed = f"import time; began = time.process_time(); import {what}; print(time.process_time() - began)"
        return float(run(timed, environ=environ))

    pairs = [(cost_s("trio, msgspec, etlplus.runtime"), cost_s("trio, msgspec")) for _ in range(1 + TIMES)][1:]
    with_us, without_us = map(min, zip(*pairs, strict=True))
    assert with_us / without_us <= 1.3, pairs


def test_the_folder_works_under_another_name(tmp_path: Path) -> None:
    """Copied out of its house, with an example that is told the new name."""
    shutil.copytree(FOLDER, tmp_path / "troupe", ignore=shutil.ignore_patterns("__pycache__"))
    example = (ROOT / "examples" / "chat_room.py").read_text("utf-8")
    (tmp_path / "room.py").write_text(example.replace("etlplus.runtime", "troupe"), "utf-8")
    program = "import runpy, sys; runpy.run_path('room.py', run_name='__main__'); assert 'etlplus' not in sys.modules"
    assert "ada: hello" in run(f"import sys; sys.path.insert(0, '.'); {program}", cwd=tmp_path)


def test_everything_that_is_offered_is_there_and_tested() -> None:
    """Each public name exists, says what it is, and occurs in these tests."""
    tests = "\n".join(file.read_text("utf-8") for file in Path(__file__).parent.glob("*.py"))
    words = set(re.findall(r"\w+", tests))
    offered = set(etlplus.runtime.__all__)
    assert list(etlplus.runtime.__all__) == sorted(etlplus.runtime.__all__)
    values = {name: getattr(etlplus.runtime, name) for name in offered}
    assert {name for name, each in values.items() if isinstance(each, type) and not vars(each).get("__doc__")} == set()
    kit = {"Kit", "Probe", "deterministic", "open_kit", "simulate"}
    assert kit <= vars(etlplus.runtime.testing).keys()
    assert (offered | kit) - words == set()
