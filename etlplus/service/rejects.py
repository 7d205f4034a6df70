"""
Refused rows as the attempt left them: a file with one JSON object a line, read in pages by byte offset.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from etlplus.errors import Invalid, NotFound, Problem
from etlplus.service.views import Page, Reject


def offset_of(cursor: str | None) -> int:
    """Where the next page starts. Raises Invalid for a cursor that was never given out."""
    if cursor is None or (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        return int(cursor or 0)
    raise Invalid("the cursor is none of ours", [Problem(f"cursor is {cursor!r}", "/cursor")])


def place_of(file: str, data_dir: Path) -> Path:
    """Where refused rows are that were written to ``file``: there, unless the data directory has moved since."""
    written = Path(file)
    return written if written.exists() else data_dir / "rejects" / written.name


def read_rejects(file: Path, offset: int, limit: int) -> Page[Reject]:
    """One page, from a byte offset on. Raises NotFound when the file is gone. Blocks: call it in a thread."""
    decode = msgspec.json.Decoder(Reject).decode
    items: list[Reject] = []
    try:
        with file.open("rb") as lines:
            lines.seek(offset)
            while len(items) < limit and (line := lines.readline()):
                items.append(decode(line))
            return Page(items, str(lines.tell()) if lines.peek(1) else None)
    except FileNotFoundError:
        raise NotFound("the rejects of this run are not kept on this node any more") from None
