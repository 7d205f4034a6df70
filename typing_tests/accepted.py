"""What the type checkers must accept: typed messages, replies and references, and what actors do with them."""

from __future__ import annotations

from typing import Any, assert_type

from etlplus.runtime import (
    Actor,
    Ask,
    Child,
    Dynamic,
    Exit,
    Name,
    Pending,
    Pool,
    Ref,
    Spawn,
    Spawner,
    Supervisor,
    System,
    Task,
    Tell,
    Timer,
    child,
    least_loaded,
)
from etlplus.runtime.testing import Kit, Probe


class Health:
    """An address that others build on."""


class Jobs(Health):
    """An address."""


class Put(Tell[Jobs]):
    number: int


class Get(Ask[Jobs, str]):
    number: int


class Ping(Ask[Health, bool]):
    pass


class Failed(Tell[Jobs]):
    error: str


class Gone(Tell[Jobs]):
    exit: Exit


class Keeper(Actor[Jobs]):
    @Put.handler
    def put(self, message: Put) -> None:
        self.number = message.number

    @Get.handler
    async def get(self, message: Get) -> str:
        return str(message.number)

    @Ping.handler
    def ping(self, message: Ping) -> bool:
        return True

    @Failed.handler
    async def failed(self, message: Failed) -> None:
        """Both kinds of handlers, for both kinds of messages."""

    @Gone.handler
    def gone(self, message: Gone) -> None:
        assert_type(self.ctx.me, Ref[Jobs])
        assert_type(self.ctx.after(1, Put(7)), Timer)
        assert_type(self.ctx.every(1, Put(7), key="k", jitter=0.1), Timer)
        self.ctx.watch(self.ctx.ref(USERS), Gone)
        assert_type(self.ctx.pipe(count(), Put, lambda error: Failed(repr(error))), Task)


class Users:
    """Another address."""


JOBS, USERS, MORE = Name[Jobs]("jobs"), Name[Users]("users"), Name[Spawner]("more")


async def count() -> int:
    return 7


async def use(system: System) -> None:
    ref = system.ref(JOBS)
    assert_type(ref, Ref[Jobs])
    ref.tell(Put(7))
    ref.tell(Get(7))
    assert_type(ref.offer(Put(7)), bool)
    await ref.put(Put(7), within=1)
    assert_type(await ref.ask(Get(7)), str)
    assert_type(await ref.ask(Ping()), bool)
    pending = ref.request(Get(7), within=1)
    assert_type(pending, Pending[str])
    assert_type(await pending, str)
    assert_type(await ref.wait_stopped(), Exit)
    wider: Ref[Jobs] = ref
    assert_type(await system.ref(MORE).ask(Spawn(child(JOBS, Keeper))), Ref[Any])
    assert_type(await wider.ask(Get(7)), str)


def tree() -> Supervisor:
    assert_type(child(JOBS, Keeper, restart="transient"), Child[Jobs])
    pool = Pool(Name[Jobs]("pool"), Keeper, size=3, route=least_loaded)
    return Supervisor(child(JOBS, lambda: Keeper()), pool, Dynamic(MORE), strategy="rest_for_one")


async def examine(kit: Kit) -> None:
    probe = kit.probe(JOBS)
    assert_type(probe, Probe[Jobs])
    assert_type(await probe.expect(Put), Put)
    probe.ref.tell(Put(7))
