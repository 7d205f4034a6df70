"""
Following live what happens: news over a monitoring connection that is made again when it is lost.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable

import msgspec
import trio
from trio_websocket import ConnectionClosed

from etlplus.actors.news import News, RunNews, Snapshot
from etlplus.actors.watchers import BOARDS
from etlplus.client.wire import Wire
from etlplus.errors import EtlplusError, NotFound, Unavailable

RECONNECTS_MAX = 10
RECONNECT_AFTER_S = 0.5
HELD_MAX = 10_000
"""So many runs are remembered; of one that was forgotten, a new connection may tell again how it stands."""


class OtherNews(msgspec.Struct, frozen=True, tag="hello", tag_field="type"):
    """The daemon's first word."""


class RefusedNews(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """What was asked for cannot be had."""

    code: str
    detail: str


_Incoming = News | OtherNews | RefusedNews
_decode = msgspec.json.Decoder[_Incoming](_Incoming).decode
_Sender = trio.MemorySendChannel[News | EtlplusError]


async def follow(wire: Wire, *topics: str) -> AsyncGenerator[News]:
    """News of topics, from how it stands now on; of one run, to its end.

    Raises:
        Unavailable: the daemon stays away.
        NotFound: there is no such run.
    """
    send, receive = trio.open_memory_channel[News | EtlplusError](0)
    pump = trio.CancelScope()
    wire.nursery.start_soon(_pump, wire, topics, send, pump)
    try:
        async for told in receive:
            if isinstance(told, EtlplusError):
                raise told
            yield told
    finally:
        pump.cancel()
        receive.close()


async def _pump(wire: Wire, topics: tuple[str, ...], send: _Sender, scope: trio.CancelScope) -> None:
    """Connect, again and again if need be, until there is no more to tell; runs in the client's own nursery."""
    with scope, send:
        held = _Held(topics)
        failures = 0
        while True:
            before = held.told
            try:
                await _tell_all(wire, held, send)
                return
            except (ConnectionClosed, Unavailable) as error:
                failures = 1 if held.told > before else failures + 1
                if failures > RECONNECTS_MAX:
                    await send.send(Unavailable(f"the daemon stays away: {error}"))
                    return
            except EtlplusError as error:
                await send.send(error)
                return
            await trio.sleep(RECONNECT_AFTER_S)


async def _tell_all(wire: Wire, held: _Held, send: _Sender) -> None:
    """Pass on what one connection says, until there is no more to tell."""
    async with wire.watch(held.topics) as connection:
        while not held.finished:
            for told in held.news_of(_decode(await connection.get_message())):
                await send.send(told)


class _Held:
    """What a follower knows of its runs, so that nothing older is told again."""

    def __init__(self, topics: tuple[str, ...]) -> None:
        self.topics = topics
        self.told = 0
        self.finished = False
        self._versions: OrderedDict[str, int] = OrderedDict()

    def news_of(self, incoming: _Incoming) -> list[News]:
        """The news in a message; a snapshot counts as one piece for each run that is newer than what is held, and for whoever
        follows a log or a board also as one itself.

        Raises:
            NotFound, EtlplusError: the daemon refuses to tell.
        """
        found: Iterable[News] = ()
        match incoming:
            case Snapshot(n=n, runs=runs):
                found = [RunNews(n, run.created_at, run) for run in sorted(runs, key=lambda run: run.id)]
                if any(topic.startswith("log:") or topic in BOARDS for topic in self.topics):
                    found = [*found, incoming]  # what was written meanwhile nobody may have told
            case RefusedNews(code, detail):
                raise NotFound(detail) if code == "not_found" else EtlplusError(detail, code=code)
            case OtherNews():
                pass
            case _:
                found = [incoming]
        return [told for told in found if self._is_new(told)]

    def _is_new(self, told: News) -> bool:
        if isinstance(told, RunNews):
            if told.run.version <= self._versions.get(told.run.id, 0):
                return False
            self._versions[told.run.id] = told.run.version
            self._versions.move_to_end(told.run.id)
            if len(self._versions) > HELD_MAX:
                self._versions.popitem(last=False)
            self.finished = told.run.finished and f"run:{told.run.id}" in self.topics
        self.told += 1
        return True
