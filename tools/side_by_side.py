"""
Runs one Python command in several virtual environments at once: python tools/side_by_side.py "VENV..." ARGUMENT...

The output of the first is shown as it comes, that of each other once it has ended. Fails if any of them fails.
"""

import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Start all, wait for all."""
    first, *others = sys.argv[1].split()
    arguments = sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        beside = {}
        for venv in others:
            with Path(folder, venv).open("wb") as output:
                beside[venv] = subprocess.Popen(
                    [f"{venv}/bin/python", *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
        print(f"== {first}: {' '.join(arguments)}", flush=True)
        statuses = [
            subprocess.run([f"{first}/bin/python", *arguments], stdin=subprocess.DEVNULL, check=False).returncode
        ]
        for venv, process in beside.items():
            statuses.append(process.wait())
            print(f"== {venv}: {' '.join(arguments)}", flush=True)
            sys.stdout.buffer.write(Path(folder, venv).read_bytes())
            sys.stdout.flush()
    return 1 if any(statuses) else 0


if __name__ == "__main__":
    sys.exit(main())
