"""The example programs do what their pages say."""

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def said_by(example: str) -> list[str]:
    command = [sys.executable, str(EXAMPLES / example)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def test_the_chat_room_loses_no_word_but_the_one_that_made_a_guest_sneeze() -> None:
    """Grace crashes over the pepper, and hears what was said afterwards."""
    assert said_by("chat_room.py") == ["ada: hello", "(sneezed)", "ada: never mind"]


def test_the_crawler_gives_up_a_page_and_not_the_crawl() -> None:
    """The page that crashes its reader is named with the reason; all others are read."""
    pages = ["/ read", "/cart read", "/news read", "/old given up: not found", "/shop read"]
    assert said_by("crawler.py") == pages


def test_the_restaurant_serves_what_it_has_and_closes_in_order() -> None:
    """The kitchen starts anew after its fire; a table that left eats no more; the host hears of all before it closes."""
    assert said_by("restaurant.py") == [
        "no gold today",
        "the chef was asked 7 times",
        "never eaten: hot fish, hot cake",
        "thanks for hot fish, bread, hot cake",
        "1 left in peace, 1 in anger",
    ]
