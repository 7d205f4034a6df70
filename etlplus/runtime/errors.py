"""
What can go wrong between actors, told apart by who must act.
"""

from __future__ import annotations

import reprlib
from typing import Any

_SHORT = reprlib.Repr()
_SHORT.maxother = 200


def told(value: object) -> str:
    """What reports and records say of an error: its repr, but short, and never an error of its own."""
    return _SHORT.repr(value)


class RuntimeFault(Exception):
    """Root of everything this package raises on its own account."""


class MailboxFull(RuntimeFault):
    """The actor's mailbox has no room, or made room for something newer. The sender decides: drop, ``put``, or fail."""


class ActorStopped(RuntimeFault):
    """The actor is stopping or gone for good.

    ``begun`` tells whether it had begun to handle the message: if not, asking somebody else is safe.
    """

    def __init__(self, path: str, *, begun: bool = False) -> None:
        super().__init__(f"{path} was stopped while it handled the ask" if begun else f"{path} has stopped")
        self.begun = begun


class ActorRestarted(RuntimeFault):
    """The actor crashed over this ask; the crash is the cause. The ask had begun: asking again may do things twice."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} crashed while it handled the ask")


class AskTimeout(RuntimeFault):
    """No answer within the deadline; whether the message was or will be handled is unknown."""


class AskCycle(RuntimeFault):
    """The asked actor waits, directly or through others, for the asker; the path is in the message."""

    def __init__(self, path: list[str]) -> None:
        super().__init__("would wait for ever: " + " -> ".join(path))
        self.path = path


class Refuse(RuntimeFault):
    """Raised by a handler to refuse a message: goes to the asker (or to the dead letters), and the actor lives on."""


class StartFailed(RuntimeFault):
    """An actor did not become ready: its ``started`` raised (the cause) or took too long."""


class GaveUp(RuntimeFault):
    """A supervisor restarted a child too often; its cause is the group of the child's last crashes."""


class Killed(RuntimeFault):
    """An actor did not stop in order within its budget and was cancelled."""


class Wedged(RuntimeFault):
    """An actor does not even obey its cancellation; the message shows where it stands."""


class SystemFailed(RuntimeFault):
    """The root supervisor gave up, or could not start; its cause tells the story."""


class Unhandled(RuntimeFault):
    """An actor got a message for which it has no handler."""

    def __init__(self, path: str, message: Any) -> None:
        super().__init__(f"{path} has no handler for {type(message).__name__}")
