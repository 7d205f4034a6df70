"""What workers on PostgreSQL publish for each other's watchers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import pytest

from etlplus.store.bells import Bell
from etlplus.store.contract import Bulletin, Store
from etlplus.store.opening import open_store
from etlplus.store.postgres.bulletins import KEPT, READ_AT_ONCE
from etlplus.testing.stores import NOW, a_worker, at


@pytest.fixture
async def shared(new_database: Callable[[], str]) -> AsyncGenerator[Store]:
    async with open_store(new_database()) as store:
        for name in ("one", "two", "three"):
            await a_worker(store, name)
        yield store


async def test_others_read_it_in_order_and_once(shared: Store) -> None:
    """After the numbers they have seen, from all but themselves; what is published twice is there once, and a bell is pulled."""
    assert await shared.bulletin_numbers("one") == {"two": 0, "three": 0}
    for name, number in (("two", 1), ("one", 1), ("two", 2), ("two", 2), ("three", 1)):
        await shared.publish(Bulletin(name, number, b"body"))
    assert await shared.ring() == {Bell.NEWS}
    found = await shared.bulletins("one", {"two": 1})
    assert [(each.worker_id, each.number, each.body) for each in found.bulletins] == [
        ("three", 1, b"body"),
        ("two", 2, b"body"),
    ]
    assert (found.workers, found.more) == ({"two", "three"}, False)
    assert await shared.bulletin_numbers("one") == {"two": 2, "three": 1}


async def test_few_are_kept_and_few_are_read_at_once(shared: Store) -> None:
    """Old ones make room for new ones, and go with their worker."""
    for number in range(1, KEPT + 11):
        await shared.publish(Bulletin("two", number, b""))
    seen = 0
    numbers: list[int] = []
    while True:
        found = await shared.bulletins("one", {"two": seen})
        numbers += [each.number for each in found.bulletins]
        seen = numbers[-1]
        assert len(found.bulletins) <= READ_AT_ONCE
        if not found.more:
            break
    assert numbers == list(range(11, KEPT + 11))
    await shared.leave("two", now=NOW)
    found = await shared.bulletins("one", {})
    assert (list(found.bulletins), found.workers) == ([], {"three"})


async def test_a_beat_tells_whether_another_attends(shared: Store) -> None:
    """Not oneself, and nobody whose lease is over."""
    assert not (await shared.beat("one", now=NOW, expires_at=at(20), attends=True)).audience
    assert (await shared.beat("two", now=NOW, expires_at=at(60))).audience
    assert not (await shared.beat("two", now=at(30), expires_at=at(60))).audience
    await shared.beat("one", now=at(31), expires_at=at(60))
    assert not (await shared.beat("two", now=at(31), expires_at=at(60))).audience
