"""
An ask on its way: the message in the mailbox, and the slot into which the one answer goes.
"""

from __future__ import annotations

from typing import Any

import trio

from .errors import AskTimeout


class Asked:
    """One ask. It ends once: by an answer, an error, its deadline, or because nobody waits for it any more.

    Attributes:
        deadline: Until when the answer makes sense, on Trio's clock.
        pending: Whether it has not ended. What is not pending when the actor comes to it, is not handled.
    """

    __slots__ = ("_error", "_path", "_task", "_value", "deadline", "message", "pending")

    def __init__(self, message: Any, deadline: float, path: str) -> None:
        self.message = message
        self.deadline = deadline
        self.pending = True
        self._path = path
        self._task: trio.lowlevel.Task | None = None
        self._value: Any = None
        self._error: BaseException | None = None

    async def outcome(self) -> Any:
        """Wait for the end of the ask. Who is cancelled meanwhile abandons it.

        Raises:
            RuntimeError: another task waits for it.
        """
        if self.pending:
            if self._task is not None:
                raise RuntimeError(f"another task waits already for what {self._path} answers")
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        else:
            await trio.lowlevel.checkpoint()
        if self._error is not None:
            raise self._error
        return self._value

    def answer(self, value: Any) -> None:
        """End it with a value; too late, the value is dropped."""
        if self.pending:
            self.pending = False
            self._value = value
            if self._task is not None:
                trio.lowlevel.reschedule(self._task)

    def fail(self, error: BaseException) -> None:
        """End it with an error; too late, the error is dropped: the asker has been told of another."""
        if self.pending:
            self._error = error
            self.answer(None)

    def ring(self) -> None:
        """The deadline is over."""
        self.fail(AskTimeout(f"{self._path} did not answer {type(self.message).__name__} in time"))

    def _abandon(self, _: object) -> trio.lowlevel.Abort:
        self.pending = False
        self._error = AskTimeout(f"nobody waited any more for {self._path} to answer {type(self.message).__name__}")
        return trio.lowlevel.Abort.SUCCEEDED
