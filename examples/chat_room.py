"""
A chat room: guests come and go, one of them is unwell, and nobody misses a word.

Run it with ``python examples/chat_room.py``. The room is an actor, each guest is one, and a supervisor starts guests anew when
they crash; what was said meanwhile waits in their mailboxes.
"""

from __future__ import annotations

import sys

import trio

from etlplus.runtime import (
    Actor,
    Ask,
    Backoff,
    Mailbox,
    Name,
    Ref,
    Supervisor,
    Tell,
    child,
    drop_oldest,
    open_system,
)


class Room:
    """Address of the room."""


class Guest:
    """Address of a guest."""


class Join(Tell[Room]):
    name: str


class Say(Tell[Room]):
    name: str
    words: str


class Heard(Tell[Guest]):
    name: str
    words: str


class Notes(Ask[Guest, list[str]]):
    pass


class ChatRoom(Actor[Room]):
    """Passes on what is said to everybody but the speaker."""

    async def started(self) -> None:
        self._guests: dict[str, Ref[Guest]] = {}

    @Join.handler
    def join(self, message: Join) -> None:
        self._guests[message.name] = self.ctx.ref(Name[Guest](message.name))

    @Say.handler
    def say(self, message: Say) -> None:
        for name, guest in self._guests.items():
            if name != message.name:
                guest.tell(Heard(message.name, message.words))


class Listener(Actor[Guest]):
    """Remembers what was said in a notebook that outlives a crash."""

    def __init__(self, name: str, notebook: list[str]) -> None:
        self._name = name
        self._notebook = notebook

    async def started(self) -> None:
        self.ctx.ref(ROOM).tell(Join(self._name))

    @Heard.handler
    def heard(self, message: Heard) -> None:
        if "pepper" in message.words and "(sneezed)" not in self._notebook:
            self._notebook.append("(sneezed)")
            raise RuntimeError("a sneeze")
        self._notebook.append(f"{message.name}: {message.words}")

    @Notes.handler
    def notes(self, message: Notes) -> list[str]:
        return list(self._notebook)


ROOM = Name[Room]("room")


async def main() -> None:
    names = ("ada", "grace")
    notebooks: dict[str, list[str]] = {name: [] for name in names}
    guests = [
        child(
            Name[Guest](name),
            lambda name=name: Listener(name, notebooks[name]),
            backoff=Backoff(first_s=0.01),
            mailbox=Mailbox(100, drop_oldest),  # a guest who is asleep misses the oldest words first
        )
        for name in names
    ]
    tree = Supervisor(child(ROOM, ChatRoom), *guests)
    async with open_system(tree, name="chat") as system:
        for words in ("hello", "who has the pepper?", "never mind"):
            system.ref(ROOM).tell(Say("ada", words))
        while len(notes := await system.ref(Name[Guest]("grace")).ask(Notes())) < 3:
            await trio.lowlevel.checkpoint()
        sys.stdout.write("\n".join(notes) + "\n")


if __name__ == "__main__":
    trio.run(main)
