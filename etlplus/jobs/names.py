"""
What people may write as a name, a label or a priority; the bounds are checked where a document is decoded.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

Name = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=200,
        pattern=r"^[^\s/\x00-\x1f][^/\x00-\x1f]*$(?!\n)",
        description="1 to 200 characters, no slash, no control character, no blank in front",
    ),
]
"""A name that people write."""

Label = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=100,
        pattern=r"^[^\s,!\x00-\x1f][^\s,\x00-\x1f]*$(?!\n)",
        description="1 to 100 characters without blanks and commas, and without ! in front",
    ),
]
"""What a worker is able to do, such as ``gpu`` or ``region=eu``."""

Folder = Annotated[str, msgspec.Meta(max_length=4096)]
"""The path of a folder."""

ShortText = Annotated[str, msgspec.Meta(max_length=200)]
"""The name of something that others define: a parameter, the code of an error."""

Labels = Annotated[tuple[Label, ...], msgspec.Meta(max_length=20)]

Priority = Annotated[int, msgspec.Meta(ge=0, le=1000)]
"""Smaller goes first. Waiting makes up for it: each step weighs as much as ``PRIORITY_STEP_S`` of waiting."""

PRIORITY_STEP_S = 60.0
