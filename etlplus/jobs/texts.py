"""
Texts that cannot be kept: half of a surrogate pair is no character of any encoding, and some places have no room for NUL.
"""

from __future__ import annotations


def plain(text: str) -> str:
    """The text with what cannot be kept shown as something else."""
    return text.replace("\0", "�").encode(errors="replace").decode()


def escaped(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
