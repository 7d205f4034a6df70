"""
What lies between the schema of a store and the one that this program knows.
"""

from __future__ import annotations

import msgspec


class Upgrade(msgspec.Struct, frozen=True):
    """The version that the store was found at (0: there is nothing yet), and the names of the migrations that it lacks, in
    order.
    """

    found: int
    lacks: tuple[str, ...]

    @property
    def reaches(self) -> int:
        """The version after it."""
        return self.found + len(self.lacks)
