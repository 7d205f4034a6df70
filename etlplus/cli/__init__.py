"""
The side door: etlplus on the command line.

Each command lives in a file of its own, says in its help what it does and how it ends, and imports what it needs only when
it runs, so that ``etlplus --help`` answers at once. Commands speak to a running daemon through the client; only ``serve``,
``run`` and ``config`` work without one. Nothing here decides anything about jobs or runs.
"""

from etlplus.cli.main import entry

__all__ = ["entry"]
