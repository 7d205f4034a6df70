"""
How a schedule is refused: by one error, which names the option, the place in it, and what would be accepted.
"""

from __future__ import annotations


class BadSchedule(ValueError):
    """A schedule that cannot be used. Raised while a document is decoded, it becomes that document's error.

    Attributes:
        option: Which option is wrong.
        message: What is wrong with it, and where in it.
        accepted: What would be accepted.
    """

    def __init__(self, option: str, message: str, accepted: str) -> None:
        super().__init__(f"{option}: {message} (accepted: {accepted})")
        self.option = option
        self.message = message
        self.accepted = accepted
