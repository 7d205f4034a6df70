"""Lets ``python -m etlplus`` do what the console script does."""

import sys

from etlplus.cli import entry

if __name__ == "__main__":
    sys.exit(entry())
