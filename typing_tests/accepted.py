"""What the type checkers must accept: typed messages, replies and references."""

from __future__ import annotations

from typing import assert_type

from etlplus.runtime import Actor, Ask, Name, Ref, System, Tell


class Jobs:
    """An address."""


class Put(Tell[Jobs]):
    number: int


class Get(Ask[Jobs, str]):
    number: int


class Keeper(Actor[Jobs]):
    @Put.handler
    def put(self, message: Put) -> None:
        self.number = message.number

    @Get.handler
    async def get(self, message: Get) -> str:
        return str(message.number)


async def use(system: System) -> None:
    ref = system.ref(Name[Jobs]("jobs"))
    assert_type(ref, Ref[Jobs])
    ref.tell(Put(7))
    assert_type(await ref.ask(Get(7)), str)
