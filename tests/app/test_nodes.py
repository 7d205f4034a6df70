"""Several services on one PostgreSQL: they may start at once, and their clocks may be wrong."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import etlplus
from etlplus.engines.functions import Function
from etlplus.errors import Unauthenticated
from etlplus.jobs.model import RunState
from etlplus.jobs.schedules import IntervalSchedule
from etlplus.jobs.users import UserDraft
from etlplus.settings import Auth, Engine, Settings, Store
from etlplus.testing.servers import private_postgres

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
NODES = 5
HANG_S = 120.0


@pytest.fixture(scope="module")
def postgres() -> Generator[str]:
    with private_postgres() as address:
        yield address


@etlplus.job("greet")
async def greet(context: etlplus.RunContext, name: str) -> None:
    context.log(f"hello {name}")


def settings(folder: Path, address: str) -> Settings:
    return Settings(data_dir=str(folder), store=Store(url=address), engine=Engine(slots=1, spares=False))


class Meeting:
    """So many services, each open until all are."""

    def __init__(self, folder: Path, address: str, function: Function[Any]) -> None:
        self.versions: list[int] = []
        self._folder = folder
        self._address = address
        self._function = function
        self._complete = trio.Event()

    async def hold(self) -> None:
        async with trio.open_nursery() as nursery:
            for number in range(NODES):
                nursery.start_soon(self._attend, self._folder / str(number))

    async def _attend(self, folder: Path) -> None:
        async with etlplus.open_service(settings(folder, self._address), functions=[self._function]) as service:
            self.versions.append((await service.jobs.get("greet")).version)
            if len(self.versions) == NODES:
                self._complete.set()
            await self._complete.wait()


async def test_nodes_that_start_at_once_store_a_function_once(postgres: str, tmp_path: Path) -> None:
    """Whoever is slower finds the job there, and starts all the same; changed options make one new version."""
    urgent = etlplus.job("greet", priority=5)(greet.call)
    for function, version in ((greet, 1), (urgent, 2)):
        meeting = Meeting(tmp_path, postgres, function)
        with trio.fail_after(HANG_S):
            await meeting.hold()
        assert meeting.versions == [version] * NODES


@pytest.mark.parametrize("wrong", [DAY, -DAY], ids=["ahead", "behind"])
async def test_a_node_whose_clock_is_wrong_goes_by_that_of_the_store(
    postgres: str, tmp_path: Path, wrong: timedelta
) -> None:
    """It neither begins before its time what is due in an hour, nor waits a day for what is due now, nor takes workers whose
    leases go on for lost; and its own lease is not older or younger than it says.
    """

    def clock() -> datetime:
        return datetime.now(UTC) + wrong

    async with (
        etlplus.open_service(settings(tmp_path / "right", postgres)) as right,
        etlplus.open_service(settings(tmp_path / "wrong", postgres), functions=[greet], clock=clock) as service,
    ):
        house = service.house
        assert abs(house.now() - datetime.now(UTC)) < DAY / 24
        schedule = IntervalSchedule(every_s=3600, start_at=datetime.now(UTC) + DAY / 24, params={"name": "Ada"})
        await service.jobs.create(etlplus.JobDraft(name=f"hourly{wrong.days}", python="greet", schedule=schedule))
        later = await service.runs.start("greet", {"name": "Ada"}, run_at=datetime.now(UTC) + DAY / 24)
        now = await service.runs.start("greet", {"name": "Blaise"})
        async with service.events.watch((f"run:{now.id}",)) as feed:
            news = aiter(feed)
            while not (await house.store.run(now.id)).state.is_final:
                await anext(news)
        assert await house.store.tick(now=house.now()) == []
        assert await house.store.rescue(now=house.now()) == []
        assert (await house.store.run(later.id)).state is RunState.SCHEDULED
        workers = {worker.id: worker for worker in await house.store.workers()}
        assert {right.house.standing.worker.id, house.standing.worker.id} <= workers.keys()
        assert all(abs(worker.beat_at - datetime.now(UTC)) < DAY / 24 for worker in workers.values())


async def test_a_token_counts_at_every_node_with_the_same_key(postgres: str, tmp_path: Path) -> None:
    """Who signed in at one may ask another; a node that made a key of its own knows nobody."""

    def node(name: str, secret: str = "") -> Settings:
        return msgspec.structs.replace(settings(tmp_path / name, postgres), auth=Auth(secret=secret))

    async with (
        etlplus.open_service(node("one", "k" * 32)) as one,
        etlplus.open_service(node("two", "k" * 32)) as two,
        etlplus.open_service(node("stranger")) as stranger,
    ):
        draft = UserDraft(name="ada", password_hash="none", role="admin")
        ada = await one.house.store.claim_bootstrap(draft, now=one.house.now())
        token = one.house.tokens.issue(ada.id, epoch=ada.auth_epoch, now=one.house.now()).token
        assert (await two.identity.authenticate(token)).name == "ada"
        with pytest.raises(Unauthenticated):
            await stranger.identity.authenticate(token)
