"""What a node makes of bulletins that are not as its own: of other versions, or of nobody who could be understood."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import msgspec
import pytest
import structlog
from structlog.testing import capture_logs

from etlplus.actors.bulletins import Body, Grown, Library, Reader
from etlplus.actors.newsroom import Item, Lines, Newsroom, Stirred, log_topic
from etlplus.actors.watchers import QUEUES
from etlplus.errors import StoreUnavailable
from etlplus.jobs.logs import LogLine, NewLine
from etlplus.jobs.views import RunView, run_view
from etlplus.store.contract import Bulletin, Claimed, Store
from etlplus.store.opening import open_store
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, some_runs

PUZZLE = "bulletin_not_understood"


@pytest.fixture(autouse=True)
def heard(quiet: None) -> None:
    """What is logged here can be read."""
    structlog.reset_defaults()


@pytest.fixture
async def store(new_database: Callable[[], str]) -> AsyncGenerator[Store]:
    async with open_store(new_database()) as opened:
        for name in ("me", "other", "third"):
            await a_worker(opened, name)
        yield opened


class Desk:
    """A reader with its newsroom, which has begun to read."""

    def __init__(self, library: Library) -> None:
        self.room = Newsroom(lambda: NOW)
        self.reader = Reader(library, self.room)

    async def read(self) -> tuple[bool, list[Item]]:
        """Whether watchers get a new snapshot, and what they are told."""
        while await self.reader.read("me"):
            pass
        missed, self.room.here.missed = self.room.here.missed, False
        return missed, self.room.here.take(1000)


async def a_desk(library: Library) -> Desk:
    desk = Desk(library)
    await desk.reader.begin("me")
    desk.reader.tell()
    return desk


async def publish(store: Store, worker: str, bodies: Iterable[bytes]) -> None:
    before = (await store.bulletin_numbers("me"))[worker]
    for number, body in enumerate(bodies, before + 1):
        await store.publish(Bulletin(worker, number, body))


async def a_view(store: Store) -> RunView:
    (run,) = await some_runs(store, await a_job(store))
    return run_view(run)


def said(view: RunView, **others: Any) -> bytes:
    """A bulletin with one run, some of whose fields are otherwise; None: it is not there."""
    run = msgspec.to_builtins(view) | others
    return msgspec.json.encode([False, [{name: value for name, value in run.items() if value != "absent"}]])


async def test_what_cannot_be_understood_is_said_once_and_made_up_for(store: Store) -> None:
    """Garbage, a run that lacks a field or has another kind of value, a log that cannot be: watchers get a new snapshot, and
    what comes afterwards is told as ever.
    """
    view = await a_view(store)
    deep = b"[" * 100_000
    garbage = [
        b"", b"\x00\xff", b'[false,[],[],[],[["\xed\xa0\x80"]]]', b"{}", b'"news"', b"null", deep, said(view, job_name="absent"),
        said(view, version="two"), said(view, params={"x": 0}).replace(b'"x":0', b'"x":' + deep), b'[false,[],[["r",1,5,4]]]',
        b'[false,[],[["r",1,5,99999999999]]]', b'[false,[],[["r",0,1,1]]]',
    ]  # fmt: skip
    for body in garbage:
        desk = await a_desk(store)
        await publish(store, "other", [said(view), body, body, said(view, version=2)])
        with capture_logs() as logged:
            missed, told = await desk.read()
            await publish(store, "other", [body])
            assert await desk.read() == (False, [])
        assert (missed, told) == (True, [view, msgspec.structs.replace(view, version=2)]), body[:40]
        assert [(each["event"], each["worker"]) for each in logged] == [(PUZZLE, "other")], body[:40]


async def test_each_worker_that_is_not_understood_is_named_once(store: Store) -> None:
    """However many of its bulletins cannot be read, in one look or in several."""
    desk = await a_desk(store)
    with capture_logs() as logged:
        for _ in range(2):
            for worker in ("other", "third"):
                await publish(store, worker, [b"?", b"?"])
            await desk.read()
    assert sorted(each["worker"] for each in logged if each["event"] == PUZZLE) == ["other", "third"]


async def test_what_another_version_has_more_or_less_of_is_no_loss(store: Store) -> None:
    """A newer one adds sections at the end and fields to a run; an older one lacks those that came later."""
    view = await a_view(store)
    newer = msgspec.json.encode([False, [msgspec.to_builtins(view) | {"mood": "good"}], [], [], [], [["new"]], 7])
    desk = await a_desk(store)
    await publish(store, "other", [newer, said(view, replay_of="absent", labels="absent"), b"[]"])
    with capture_logs() as logged:
        assert await desk.read() == (False, [view, view])
    assert logged == []


async def test_a_board_that_is_not_known_here_is_passed_over(store: Store) -> None:
    """Also one that is called like a topic of runs, which somebody may watch; the others are told of."""
    desk = await a_desk(store)
    body = Body(stirred=[Stirred("letters"), Stirred("runs"), Stirred(QUEUES)])
    await publish(store, "other", [msgspec.json.encode(body)] * 2)
    with capture_logs() as logged:
        assert await desk.read() == (False, [Stirred(QUEUES)] * 2)
    assert [each["event"] for each in logged] == [PUZZLE]


class Out:
    """A store that is out when it is asked for the lines of a log, for the first time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._out = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def log(self, *values: Any, **options: Any) -> list[LogLine]:
        if self._out:
            self._out = False
            raise StoreUnavailable("out")
        return await self._store.log(*values, **options)


async def test_a_store_that_is_out_amid_the_reading_loses_no_news(store: Store) -> None:
    """What was read before is told; the bulletin whose lines could not be read is read again, with what came after it."""
    view = await a_view(store)
    (claimed,) = await a_claim(store, worker="me")
    await logs(store, claimed)
    desk = await a_desk(Out(store))  # type: ignore[arg-type]
    desk.room.watchers.add([log_topic(view.id)], capacity=10, position=0)
    grown = msgspec.json.encode(Body(runs=[view], grown=[Grown(view.id, 1, 1, 2)]))
    await publish(store, "other", [said(view), grown, said(view, version=3)])
    with pytest.raises(StoreUnavailable):
        await desk.read()
    missed, told = await desk.read()
    assert [type(each) for each in told] == [RunView, RunView, Lines, RunView]
    assert [line.text for each in told if isinstance(each, Lines) for line in each.lines] == ["one", "two"]
    assert not missed


async def logs(store: Store, claimed: Claimed) -> None:
    lines = [NewLine(at=NOW, level="info", text=text) for text in ("one", "two")]
    assert await store.append_log(claimed.run.id, claimed.run.attempt, "me", lines, now=NOW) is not None
