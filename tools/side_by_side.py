"""
Runs one Python command in several virtual environments at once: python tools/side_by_side.py "VENV..." ARGUMENT...

The output of the first is shown as it comes, that of each other once it has ended. Fails if any of them fails. Each finds in
its environment, as TESTS_PART=1/2 and TESTS_PART=2/2, which part of a work it may take that need not be done by all of them.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Start all, wait for all."""
    first, *others = sys.argv[1].split()
    arguments = sys.argv[2:]

    def part(number: int) -> dict[str, str]:
        return os.environ | {"TESTS_PART": f"{number}/{1 + len(others)}"}

    with tempfile.TemporaryDirectory() as folder:
        beside = {}
        for number, venv in enumerate(others, start=2):
            with Path(folder, venv).open("wb") as output:
                beside[venv] = subprocess.Popen(
                    [f"{venv}/bin/python", *arguments],
                    env=part(number),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        print(f"== {first}: {' '.join(arguments)}", flush=True)
        command = [f"{first}/bin/python", *arguments]
        statuses = [subprocess.run(command, env=part(1), stdin=subprocess.DEVNULL, check=False).returncode]
        for venv, process in beside.items():
            statuses.append(process.wait())
            print(f"== {venv}: {' '.join(arguments)}", flush=True)
            sys.stdout.buffer.write(Path(folder, venv).read_bytes())
            sys.stdout.flush()
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
