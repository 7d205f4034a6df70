"""
A restaurant: tables come and go, what is not on the menu is refused, and when the stove fails the cook begins anew with it.

Run it with ``python examples/restaurant.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from etlplus.runtime import (
    Actor,
    ActorRestarted,
    Ask,
    Backoff,
    Dynamic,
    Exit,
    Name,
    Refuse,
    Spawn,
    Spawner,
    Supervisor,
    Tell,
    child,
    one_for_all,
    open_system,
    temporary,
)

MENU = ("soup", "fish", "cake")


class Stove:
    """Address of the stove."""


class Kitchen:
    """Address of the cook."""


class Table:
    """Address of a table."""


class Door:
    """Address of the host."""


class Heat(Ask[Stove, str]):
    dish: str


class Cook(Ask[Kitchen, str]):
    """Answered with the dish; what is not on the menu is refused."""

    dish: str


class Eat(Tell[Table]):
    dish: str


class Seat(Ask[Door, None]):
    """Answered once the table has been served."""

    table: str
    dishes: list[str]


class Thanks(Tell[Door]):
    dish: str


class Left(Tell[Door]):
    why: Exit


class GasStove(Actor[Stove]):
    """Goes out over the first fish."""

    def __init__(self, fish: list[str]) -> None:
        self._fish = fish

    @Heat.handler
    def heat(self, message: Heat) -> str:
        if message.dish == "fish" and not self._fish:
            self._fish.append("spoilt")
            raise RuntimeError("the flame went out")
        return f"hot {message.dish}"


class Chef(Actor[Kitchen]):
    @Cook.handler
    async def cook(self, message: Cook) -> str:
        if message.dish not in MENU:
            raise Refuse(f"no {message.dish} today")
        return await self.ctx.ref(STOVE).ask(Heat(message.dish))


class Party(Actor[Table]):
    """Eats what is served, and leaves for good, in anger, over soup."""

    @Eat.handler
    async def eat(self, message: Eat) -> None:
        if "soup" in message.dish:
            raise RuntimeError("a fly in the soup")
        await self.ctx.ref(HOST).put(Thanks(message.dish))  # and wait until the host has room for it

    def undelivered(self, left: Sequence[Any]) -> None:
        print("never eaten:", ", ".join(each.dish for each in left))


class Host(Actor[Door]):
    """Serves one table after the other, and counts how they left."""

    async def started(self) -> None:
        self._thanks: list[str] = []
        self._left: list[str] = []

    @Seat.handler
    async def seat(self, message: Seat) -> None:
        table = await self.ctx.ref(TABLES).ask(Spawn(child(Name[Table](message.table), Party, restart=temporary)))
        self.ctx.watch(table, Left)
        for dish in [await self._cooked(dish) for dish in message.dishes]:
            table.tell(Eat(dish))

    async def _cooked(self, dish: str) -> str:
        try:
            return await self.ctx.ref(CHEF).ask(Cook(dish))
        except Refuse as sorry:
            print(sorry)
            return "bread"
        except ActorRestarted:
            return await self._cooked(dish)  # the kitchen was on fire; it is started again

    @Thanks.handler
    def thanked(self, message: Thanks) -> None:
        self._thanks.append(message.dish)

    @Left.handler
    def left(self, message: Left) -> None:
        self._left.append(message.why.reason)

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        print("thanks for", ", ".join(self._thanks))
        print(f"{self._left.count('stopped')} left in peace, {self._left.count('crashed')} in anger")


STOVE, CHEF, HOST, TABLES = Name[Stove]("stove"), Name[Kitchen]("chef"), Name[Door]("host"), Name[Spawner]("tables")


async def main() -> None:
    spoilt: list[str] = []
    at_once = Backoff(first_s=0, jitter=0)
    kitchen = Supervisor(
        child(STOVE, lambda: GasStove(spoilt), backoff=at_once),
        child(CHEF, Chef, backoff=at_once),
        strategy=one_for_all,
        name="kitchen",
    )
    # The tables come last, and so they stop first: what is served is eaten, then the host hears of it, and the kitchen closes.
    tree = Supervisor(kitchen, child(HOST, Host), Dynamic(TABLES))
    async with open_system(tree, on_crash=lambda crash: None, on_dead_letter=lambda letter: None) as system:
        with system.tap(CHEF) as tap:
            await system.ref(HOST).ask(Seat("one", ["fish", "gold", "cake"]))
            await system.ref(HOST).ask(Seat("two", ["soup", "fish", "cake"]))
        print(f"the chef was asked {tap.total} times")


if __name__ == "__main__":
    trio.run(main)
