"""What the type checkers must refuse; each line that they must refuse is marked ``# wrong``."""

from __future__ import annotations

from etlplus.runtime import Actor, Ask, Ref, Tell


class Jobs:
    """An address."""


class Users:
    """Another address."""


class Put(Tell[Jobs]):
    number: int


class Get(Ask[Jobs, str]):
    number: int


class Keeper(Actor[Jobs]):
    @Get.handler  # wrong
    def get(self, message: Get) -> int:
        return message.number


async def use(jobs: Ref[Jobs], users: Ref[Users]) -> None:
    users.tell(Put(7))  # wrong
    await jobs.ask(Put(7))  # wrong
    number: int = await jobs.ask(Get(7))  # wrong
    Put("x")  # wrong
    await users.ask(Get(number))  # wrong
