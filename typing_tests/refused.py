"""What the type checkers must refuse; each line that they must refuse is marked ``# wrong``."""

from __future__ import annotations

from etlplus.runtime import (
    Actor,
    Ask,
    Exit,
    Name,
    Pending,
    Pool,
    Ref,
    Spawn,
    Spawner,
    Supervisor,
    System,
    Tell,
    child,
)
from etlplus.runtime.testing import Kit


class Jobs:
    """An address."""


class Users:
    """Another address."""


class Put(Tell[Jobs]):
    number: int


class Get(Ask[Jobs, str]):
    number: int


class Seen(Tell[Users]):
    number: int


class Gone(Tell[Users]):
    exit: Exit


class Keeper(Actor[Jobs]):
    @Get.handler  # wrong
    def get(self, message: Get) -> int:
        return message.number

    @Put.handler  # wrong
    def put(self, message: Get) -> None: ...

    def act(self, other: Ref[Users]) -> None:
        self.ctx.after(1, Seen(7))  # wrong
        self.ctx.every(1, Seen(7))  # wrong
        self.ctx.watch(other, Gone)  # wrong
        self.ctx.pipe(count(), Seen, lambda error: Put(1))  # wrong
        self.ctx.pipe(count(), Put, lambda error: Seen(1))  # wrong
        self.ctx.me.tell(Seen(7))  # wrong


class Clerk(Actor[Users]):
    """Of another address."""


JOBS, MORE = Name[Jobs]("jobs"), Name[Spawner]("more")


async def count() -> int:
    return 7


async def use(jobs: Ref[Jobs], users: Ref[Users]) -> None:
    users.tell(Put(7))  # wrong
    users.offer(Put(7))  # wrong
    await users.put(Put(7))  # wrong
    await jobs.put(Get(7))  # wrong
    await jobs.ask(Put(7))  # wrong
    jobs.request(Put(7))  # wrong
    users.request(Get(7))  # wrong
    number: int = await jobs.ask(Get(7))  # wrong
    pending: Pending[int] = jobs.request(Get(7))  # wrong
    Put("x")  # wrong
    await users.ask(Get(number))  # wrong
    await pending


async def build(system: System, kit: Kit) -> None:
    child(JOBS, Clerk)  # wrong
    child(JOBS, Keeper, restart="sometimes")  # wrong
    Pool(JOBS, Clerk, size=2)  # wrong
    Supervisor(Keeper())  # wrong
    Supervisor(strategy="all_for_none")  # wrong
    users: Ref[Users] = system.ref(JOBS)  # wrong
    await system.ref(MORE).ask(Spawn(Keeper))  # wrong
    await system.ref(JOBS).ask(Spawn(child(JOBS, Keeper)))  # wrong
    message: Get = await kit.probe(JOBS).expect(Put)  # wrong
    users.tell(message)  # wrong
