"""
A chat room: people talk, one of them sneezes over the pepper, and nobody else misses a word.

Run it with ``python examples/chat_room.py``. The room is an actor, each guest is one, and a supervisor starts guests anew when
they crash; what was said meanwhile waits in their mailboxes.
"""

from __future__ import annotations

import trio

from etlplus.runtime import Actor, Ask, Mailbox, Name, Ref, Supervisor, Tell, child, drop_oldest, open_system


class Room:
    """Address of the room."""


class Guest:
    """Address of a guest."""


class Join(Tell[Room]):
    name: str


class Say(Ask[Room, int]):
    """Answered with the number of those who will hear it."""

    name: str
    words: str


class Heard(Tell[Guest]):
    name: str
    words: str


class Notes(Ask[Guest, list[str]]):
    """Answered with all that the guest heard."""


class ChatRoom(Actor[Room]):
    """Passes on what is said to everybody but the speaker."""

    async def started(self) -> None:
        self._guests: dict[str, Ref[Guest]] = {}

    @Join.handler
    def join(self, message: Join) -> None:
        self._guests[message.name] = self.ctx.ref(Name[Guest](message.name))

    @Say.handler
    def say(self, message: Say) -> int:
        others = [guest for name, guest in self._guests.items() if name != message.name]
        for guest in others:
            guest.tell(Heard(message.name, message.words))
        return len(others)


class Listener(Actor[Guest]):
    """Writes what was said into a notebook, which outlives a crash."""

    def __init__(self, name: str, notebook: list[str]) -> None:
        self._name = name
        self._notebook = notebook

    async def started(self) -> None:
        self.ctx.ref(ROOM).tell(Join(self._name))

    @Heard.handler
    def heard(self, message: Heard) -> None:
        if "pepper" in message.words:
            self._notebook.append("(sneezed)")
            raise RuntimeError("a sneeze")
        self._notebook.append(f"{message.name}: {message.words}")

    @Notes.handler
    def notes(self, message: Notes) -> list[str]:
        return self._notebook


ROOM = Name[Room]("room")


async def main() -> None:
    guests = ("ada", "grace")
    notebooks: dict[str, list[str]] = {name: [] for name in guests}
    tree = Supervisor(
        child(ROOM, ChatRoom),
        *(
            # Who is asleep for too long misses the oldest words first.
            child(
                Name[Guest](name), lambda name=name: Listener(name, notebooks[name]), mailbox=Mailbox(100, drop_oldest)
            )
            for name in guests
        ),
    )
    async with open_system(tree, name="chat") as system:
        for words in ("hello", "who has the pepper?", "never mind"):
            await system.ref(ROOM).ask(Say("ada", words))
        print("\n".join(await system.ref(Name[Guest]("grace")).ask(Notes())))


if __name__ == "__main__":
    trio.run(main)
