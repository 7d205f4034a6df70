"""
The identity of an actor: its mailbox, counters and watchers, which outlive every crash.

References point here, never to a task or an object of the user's. The mailbox is a Trio memory channel whose both ends stay
open as long as the identity lives, so nothing queued is lost when the task behind it dies. The system lane beside it cannot
fill: it carries what a life tells itself (timer ticks, results of piped work, news of watched actors) and requests to stop.

What happens to a message on its way in is the function ``deliver``, and on its way out the table of ``handlers``. Overflow
policies, refusal, taps and faults exchange these; while they are not used, they cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Any, Literal

import msgspec
import trio

from .alarms import Alarms
from .asked import Asked
from .dead_letters import DeadLetter, DeadLetters
from .errors import ActorStopped, MailboxFull
from .hooks import Hooks

Status = Literal["new", "starting", "running", "waiting", "stopping", "wedged", "stopped"]
Overflow = Literal["fail", "drop_oldest", "keep_latest"]
Handler = Callable[[Any], Any]
Wrapper = Callable[[Handler], Handler]


class Exit(msgspec.Struct, frozen=True):
    """Why an actor ended: ``stopped`` in order, ``killed`` when its budget was over, or ``crashed`` with the error's repr."""

    reason: Literal["stopped", "killed", "crashed"]
    error: str = ""


class Mark:
    """Something in a mailbox or a system lane that is no message."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


WAKE = Mark("wake")
"""Wakes a waiting loop so that it looks around."""
HALT = Mark("halt")
"""At the head of the system lane: stop now; what is queued is for the next life."""


class Own:
    """In the system lane: something that one life told itself, and that no other life may hear.

    It is not handled if it is not ``pending`` when its turn comes: whoever was behind it has taken it back.
    """

    __slots__ = ("life", "message", "pending")

    def __init__(self, life: object, message: Any) -> None:
        self.life = life
        self.message = message
        self.pending = True

    def taken(self) -> Any:
        """Its turn has come: the message that will be handled now."""
        return self.message


class Latest:
    """In a mailbox that keeps the latest: the place of one type of message, and the newest of them."""

    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item


class Surroundings:
    """What all identities of a system share. Made within ``trio.run``; ``now`` reads its clock."""

    def __init__(self, dead_letters: Callable[[DeadLetter], None], rng: Random) -> None:
        self.now = trio.lowlevel.current_clock().current_time  # half of what trio.current_time() costs
        self.alarms = Alarms()
        self.hooks = Hooks()
        self.dead_letters = DeadLetters(dead_letters, self.hooks)
        self.rng = rng


class Cell:
    """See the module.

    Counters, in messages: at every quiet point sent = handled + rejected + dropped + shed + undelivered + queued.
    ``rejected`` were refused to their sender, ``dropped`` made room for newer ones, ``shed`` were taken out unhandled because
    nobody waited for them any more, ``undelivered`` were queued when the actor ended.
    """

    __slots__ = (
        "_accepting", "_latest", "_puts", "_room", "_send", "_watchers", "capacity", "deliver", "draining", "dropped", "exit",
        "handled", "handlers", "in_hand", "life", "path", "plain_handlers", "receive", "refuses", "rejected", "sent",
        "shed", "shown", "status", "stopped", "surroundings", "system", "take", "undelivered", "waits_for", "wrappers",
    )  # fmt: skip

    def __init__(self, path: str, surroundings: Surroundings, *, capacity: int, overflow: Overflow = "fail") -> None:
        self.path = path
        self.surroundings = surroundings
        self.capacity = capacity
        self.status: Status = "new"
        self.sent = self.handled = self.rejected = self.dropped = self.shed = self.undelivered = 0
        self.system: list[Any] = []  # a list, since it is short, and an empty deque takes ten times as much
        self.life = 0
        self.draining = self.refuses = False
        self.in_hand: Any = None
        self.waits_for: Cell | None = None
        self.exit: Exit | None = None
        self.stopped: trio.Event | None = None
        self.shown: Callable[[], object] | None = None
        self.handlers: dict[type, Handler] = {}
        self.plain_handlers: dict[type, Handler] = {}
        self.wrappers: tuple[Wrapper, ...] = ()
        self._send, self.receive = trio.open_memory_channel[Any](capacity)
        self._puts: trio.MemorySendChannel[Any] | None = None
        self.take = self.receive.receive_nowait
        self.deliver: Callable[[Any], None] = self._send.send_nowait
        self._accepting: Callable[[Any], None] | None = None
        self._latest: dict[type, Latest] = {}
        self._room: trio.lowlevel.ParkingLot | None = None
        self._watchers: list[Callable[[Exit], None]] = []
        if overflow == "drop_oldest":
            self.deliver = self._deliver_over_the_oldest
        elif overflow == "keep_latest":
            self.deliver, self._room = self._deliver_latest, trio.lowlevel.ParkingLot()

    @property
    def queued(self) -> int:
        """Messages that wait: in both lanes, and those of senders who wait for room."""
        mailbox = self.receive.statistics()
        return mailbox.current_buffer_used + mailbox.tasks_waiting_send + len(self._room or ()) + self._own_queued

    @property
    def _own_queued(self) -> int:
        return sum(isinstance(each, Own) for each in self.system)

    def full(self) -> MailboxFull:
        """The error for a sender who found no room; counts it."""
        self.rejected += 1
        return MailboxFull(f"the mailbox of {self.path} is full ({self.capacity})")

    async def wait_for_room(self, message: Any) -> None:
        """Queue a message once there is room. Who gives up, or is refused meanwhile, is counted as rejected."""
        if self._room is not None:
            await self._wait_for_a_place(message, self._room)
            return
        if self._puts is None:
            self._puts = self._send.clone()  # an end of its own: closing it refuses those who wait, and nobody else
        try:
            await self._puts.send(message)
        except trio.ClosedResourceError:
            self._turn_away(message)  # whoever closed it has counted it
        except BaseException:
            self.rejected += 1
            raise

    async def _wait_for_a_place(self, message: Any, room: trio.lowlevel.ParkingLot) -> None:
        """In a mailbox that keeps the latest. Whoever is called looks anew: there may be a place of its type by now.

        One is called for each message that is taken out, and whatever he finds leaves one in: so none waits beside free room.
        """
        while True:
            try:
                await room.park()
            except BaseException:
                self.rejected += 1
                raise
            with suppress(trio.WouldBlock):
                self.deliver(message)
                return

    def tell_own(self, own: Own) -> None:
        """Queue what a life tells itself."""
        self.sent += 1
        if self.exit is None:
            self.system.append(own)
            self._wake()
        else:
            self.shed += 1

    def drain(self) -> None:
        """Have the life stop once the mailbox is empty."""
        self.draining = True
        self._forget_halts()
        self._wake()

    def halt(self) -> None:
        """Have the life stop at its next message, which the next life will handle."""
        self.system.insert(0, HALT)
        self._wake()

    def begin_life(self) -> None:
        """Forget requests to stop that the life before has not come to; a life that is to work takes messages, too."""
        self.life += 1
        self.draining = False
        self._forget_halts()
        if self._accepting is not None:
            self.refuses, self.deliver, self._accepting = False, self._accepting, None

    def _forget_halts(self) -> None:
        while HALT in self.system:
            self.system.remove(HALT)

    def _wake(self) -> None:
        if self.receive.statistics().tasks_waiting_receive:
            self._send.send_nowait(WAKE)  # goes straight to the waiting loop, and takes nobody's place in the mailbox

    def taken_latest(self, latest: Latest) -> Any:
        """The newest message of its type; the next one finds no place of that type any more."""
        del self._latest[_kind_of(latest.item)]
        if self._room is not None:
            self._room.unpark()
        return latest.item

    def unwrap(self, wrapper: Wrapper) -> None:
        """Take one wrapper away again."""
        self.wrap(tuple(each for each in self.wrappers if each != wrapper))

    def watch(self, hear: Callable[[Exit], None]) -> None:
        """Call ``hear`` once this actor has ended for good; at once if it has."""
        if self.exit is not None:
            self.surroundings.hooks.call(hear, self.exit)
        else:
            self._watchers.append(hear)

    def unwatch(self, hear: Callable[[Exit], None]) -> None:
        """Do not call ``hear`` any more."""
        if hear in self._watchers:
            self._watchers.remove(hear)

    def wrap(self, wrappers: tuple[Wrapper, ...]) -> None:
        """Put these around every handler, the last outermost; with none, the table is the plain one again."""
        if self.plain_handlers is self.handlers:
            self.plain_handlers = dict(self.handlers)
        self.wrappers = wrappers
        self._wrap_all()

    def install(self, handlers: dict[type, Handler]) -> None:
        """Use the handlers of a new life."""
        self.plain_handlers = self.handlers = handlers
        if self.wrappers:
            self.wrap(self.wrappers)

    def _wrap_all(self) -> None:
        """Fill the table anew. It stays the same object: a slice at work sees the change at its next message."""
        for kind, handler in self.plain_handlers.items():
            for wrapper in self.wrappers:
                handler = wrapper(handler)
            self.handlers[kind] = handler

    def refuse_new(self) -> None:
        """Take no more messages of others; what is queued stays. Who waits for room is refused, too."""
        if not self.refuses:
            self.refuses, self._accepting, self.deliver = True, self.deliver, self._refuse
        if self._puts is not None:
            self.rejected += self._puts.statistics().tasks_waiting_send
            self._puts.close()
            self._puts = None
        if self._room is not None:
            self._room.unpark_all()  # what each of them delivers is refused

    def close(self, why: Exit) -> list[Any]:
        """End the identity: asks in the mailbox fail, watchers hear of it. Returns the tells left there, in order.

        What others sent becomes dead letters; what the actor told itself is nobody's loss but its own.
        """
        self.refuse_new()
        self.status = "stopped"
        self.exit = why
        mail, own = list(self._take_mail()), list(self._take_own())
        self.undelivered += len(mail) + len(own)
        for item in mail:
            if isinstance(item, Asked):
                item.fail(ActorStopped(self.path))
        if self.stopped is not None:
            self.stopped.set()
        watchers, self._watchers = self._watchers, []
        for hear in watchers:
            self.surroundings.hooks.call(hear, why)
        for item in mail:
            self.surroundings.dead_letters.bury(self.path, item, "undelivered")
        return [item for item in mail if not isinstance(item, Asked)] + own

    def _take_mail(self) -> Iterator[Any]:
        while True:
            try:
                item = self.take()
            except trio.WouldBlock:
                break
            if item is not WAKE:
                yield self.taken_latest(item) if isinstance(item, Latest) else item

    def _take_own(self) -> Iterator[Any]:
        while self.system:
            item = self.system.pop(0)
            if isinstance(item, Own) and item.pending and not isinstance(item.message, Exit):
                yield item.message
            elif isinstance(item, Own):
                self.shed += 1  # news of somebody's end interests nobody who has ended

    def _refuse(self, item: Any) -> None:
        self.rejected += 1
        self._turn_away(item)

    def _turn_away(self, item: Any) -> None:
        self.surroundings.dead_letters.bury(self.path, item, "stopped")
        raise ActorStopped(self.path)

    def drop(self, item: Any) -> None:
        """Do without a message, as somebody wanted; it is counted, and an asker is told."""
        self.dropped += 1
        if isinstance(item, Asked):
            item.fail(MailboxFull(f"the mailbox of {self.path} dropped it for something newer"))

    def _deliver_over_the_oldest(self, item: Any) -> None:
        """Make room by dropping what has waited longest."""
        try:
            self._send.send_nowait(item)
        except trio.WouldBlock:
            self.drop(self.take())
            self._send.send_nowait(item)

    def _deliver_latest(self, item: Any) -> None:
        """Take the place of an older message of the same type; wait behind the others if there is none."""
        kind = _kind_of(item)
        if (latest := self._latest.get(kind)) is not None:
            self.drop(latest.item)
            latest.item = item
            return
        latest = Latest(item)
        self._send.send_nowait(latest)
        self._latest[kind] = latest


def _kind_of(item: Any) -> type[Any]:
    """The type of message, asked or told."""
    kind: type[Any] = (item.message if isinstance(item, Asked) else item).__class__
    return kind
