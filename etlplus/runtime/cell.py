"""
The identity of an actor: its mailbox, counters and watchers, which outlive every crash.

References point here, never to a task or an object of the user's. The mailbox is a Trio memory channel whose both ends stay
open as long as the identity lives, so nothing queued is lost when the task behind it dies. The system lane beside it cannot
fill: it carries stop requests, timer ticks, results of piped work and news of watched actors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import msgspec
import trio

from etlplus.runtime.errors import ActorStopped, MailboxFull

Status = Literal["new", "starting", "running", "waiting", "stopping", "wedged", "stopped"]


class Exit(msgspec.Struct, frozen=True):
    """Why an actor ended: ``stopped`` in order, or ``crashed`` with the rendered error."""

    reason: Literal["stopped", "crashed"]
    error: str = ""


class _Wake:
    """Lies in the mailbox to wake a waiting loop for its system lane."""


class _Stop:
    """In the system lane: stop in order."""


class Own:
    """In the system lane: something that one life told itself, and that no other life may hear."""

    __slots__ = ("life", "message")

    def __init__(self, life: object, message: Any) -> None:
        self.life = life
        self.message = message


WAKE = _Wake()
STOP = _Stop()


class Asked:
    """An ask in a mailbox: the message, until when it makes sense, and who waits."""

    __slots__ = ("deadline", "error", "message", "task", "value")

    def __init__(self, message: Any, deadline: float) -> None:
        self.message = message
        self.deadline = deadline
        self.task: trio.lowlevel.Task | None = None
        self.value: Any = None
        self.error: BaseException | None = None

    async def wait(self) -> Any:
        """Wait for the answer; a cancelled wait leaves the slot, and the answer is dropped."""
        self.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if self.error is not None:
            raise self.error
        return self.value

    def answer(self, value: Any = None, error: BaseException | None = None) -> None:
        """Give the answer to whoever still waits."""
        if self.task is not None:
            self.value, self.error = value, error
            task, self.task = self.task, None
            trio.lowlevel.reschedule(task)


class Counters:
    """How many messages took which way: sent = handled + rejected + shed + undelivered + queued, at every quiet point."""

    __slots__ = ("handled", "rejected", "restarts", "sent", "shed", "undelivered")

    def __init__(self) -> None:
        self.sent = self.handled = self.rejected = self.shed = self.undelivered = self.restarts = 0


class Cell:
    """See the module."""

    def __init__(self, path: str, *, capacity: int, dead_letter: Callable[[str, Any, str], None]) -> None:
        self.path = path
        self.capacity = capacity
        self.status: Status = "new"
        self.accepts = True
        self.counters = Counters()
        self.system: deque[Any] = deque()
        self.asks: Cell | None = None
        self.exit: Exit | None = None
        self.stopped = trio.Event()
        self.snapshot: Callable[[], object] | None = None
        self._send, self.receive = trio.open_memory_channel[Any](capacity)
        self._dead_letter = dead_letter
        self._watchers: list[tuple[Cell, Callable[[Exit], Any]]] = []

    def __len__(self) -> int:
        return self.receive.statistics().current_buffer_used

    def post(self, item: Any) -> None:
        """Queue a message or an ask; never waits.

        Raises:
            ActorStopped: nobody will handle it any more.
            MailboxFull: there is no room.
        """
        self.counters.sent += 1
        if not self.accepts:
            self.counters.rejected += 1
            self._dead_letter(self.path, item, "stopped")
            raise ActorStopped(f"{self.path} has stopped")
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            self.counters.rejected += 1
            raise MailboxFull(f"the mailbox of {self.path} is full ({self.capacity})") from None

    async def put(self, message: Any) -> None:
        """Queue a message, waiting for room."""
        self.counters.sent += 1
        try:
            if not self.accepts:
                raise ActorStopped(f"{self.path} has stopped")
            await self._send.send(message)
        except BaseException:
            self.counters.rejected += 1
            raise

    def post_system(self, item: Any) -> None:
        """Queue something in the lane that cannot fill, and wake the loop."""
        self.system.append(item)
        if self.receive.statistics().tasks_waiting_receive:
            self._send.send_nowait(WAKE)  # goes straight to the waiting loop, and takes nobody's place in the mailbox

    def watch(self, watcher: Cell, down: Callable[[Exit], Any]) -> None:
        """Have ``watcher`` told once this actor has ended for good; at once if it has."""
        if self.exit is not None:
            watcher.post_system(down(self.exit))
        else:
            self._watchers.append((watcher, down))

    def close(self, why: Exit) -> None:
        """End the identity: what is queued is undeliverable, asks are told so, watchers hear of it."""
        self.accepts = False
        self.status = "stopped"
        self.exit = why
        while True:
            try:
                item = self.receive.receive_nowait()
            except trio.WouldBlock:
                break
            if item is WAKE:
                continue
            self.counters.undelivered += 1
            self._dead_letter(self.path, item, "undelivered")
            if isinstance(item, Asked):
                item.answer(error=ActorStopped(f"{self.path} has stopped"))
        for watcher, down in self._watchers:
            watcher.post_system(down(why))
        self.stopped.set()
