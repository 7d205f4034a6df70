"""The example program does what its page says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_chat_room_loses_no_word_but_the_one_that_made_a_guest_sneeze() -> None:
    """Grace crashes over the pepper, and hears what was said afterwards."""
    command = [sys.executable, str(ROOT / "examples" / "chat_room.py")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert ended.stdout.splitlines() == ["ada: hello", "(sneezed)", "ada: never mind"]
