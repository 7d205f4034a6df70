"""
Calls into the user's code that the runtime makes on its own account: nobody waits there for what they raise.

A hook that fails must disturb no bookkeeping, no sender and no sibling. It ends the system, in order, and comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

News = TypeVar("News")


class Hooks:
    """Calls hooks, and keeps what they raise.

    Attributes:
        failures: What hooks raised so far.
        at_failure: Called each time that one raises.
        over: The system has ended, and nothing can come out of it any more: what hooks raise is the caller's.
    """

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.at_failure: Callable[[], None] = lambda: None
        self.over = False

    def call(self, hook: Callable[[News], None], news: News) -> None:
        """Tell the hook; while the system is there, what it raises is kept for the end."""
        try:
            hook(news)
        except Exception as error:
            if self.over:
                raise
            self.failures.append(error)
            self.at_failure()
