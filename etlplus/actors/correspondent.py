"""
The correspondent: publishes what happens here for the watchers of other nodes, and tells the watchers here what others publish.

Both only while somebody watches: a node that has watchers says so with its heartbeat, and the others hear of it with theirs.
Transitions are published by whoever made them, in the order in which they happened; the history would not do, since it has a
claim only together with what comes after it.
"""

from __future__ import annotations

from typing import NoReturn

import structlog
import trio

from etlplus.actors.bulletins import Press, Reader
from etlplus.actors.messages import HEARTBEAT, BeatNow, Corresponding, Parted, Read
from etlplus.actors.newsroom import Newsroom
from etlplus.actors.standing import Standing
from etlplus.errors import Unavailable
from etlplus.runtime import Actor, Exit
from etlplus.store.contract import Store

log = structlog.get_logger()

PUBLISH_EVERY_S = 0.05
LOOK_EVERY_S = 1.0
"""Without a bell, and for progress."""
LINGER_S = 30.0
"""How long to attend on when the last watcher has gone."""
RETRY_AFTER_S = 1.0
GREETING_S = 0.5
"""How long to wait for the others to begin to publish, before watchers are let in: what happens meanwhile is in their snapshots."""


class Correspondent(Actor[Corresponding]):
    """See the module."""

    def __init__(self, store: Store, standing: Standing, room: Newsroom, press: Press) -> None:
        self._store = store
        self._standing = standing
        self._room = room
        self._press = press
        self._reader = Reader(store, room)
        self._rung = trio.Event()

    async def started(self) -> None:
        for work in (self._publish_always(), self._attend_always()):
            self.ctx.pipe(work, lambda _: Parted("it ended"), lambda error: Parted(repr(error)))

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Publish what happened last."""
        if self._room.audience:
            await self._publish()

    @Read.handler
    def read(self, message: Read) -> None:
        self._rung.set()

    @Parted.handler
    def parted(self, message: Parted) -> None:
        raise RuntimeError(f"no more news from or to other nodes: {message.error}")

    async def _publish_always(self) -> NoReturn:
        while True:
            await self._room.wait_audience()
            self._press.begin()
            while self._room.audience:
                await self._publish()
                await trio.sleep(PUBLISH_EVERY_S)
                with trio.move_on_after(LOOK_EVERY_S):
                    await self._room.abroad.wait()

    async def _publish(self) -> None:
        try:
            while (bulletin := self._press.next(self._standing.worker.id)) is not None:
                await self._store.publish(bulletin)
                self._press.published()
        except Unavailable as error:
            log.warning("news_not_published", error=str(error))

    async def _attend_always(self) -> NoReturn:
        room = self._room
        while True:
            await room.watchers.wait_some()
            await self._begin_to_attend()
            until = trio.current_time() + LINGER_S
            while trio.current_time() < until:
                with trio.move_on_after(LOOK_EVERY_S):
                    await self._rung.wait()
                self._rung = trio.Event()
                await self._read_all()
                if room.watchers:
                    until = trio.current_time() + LINGER_S
            room.attend(attends=False)

    async def _begin_to_attend(self) -> None:
        while True:
            try:
                await self._reader.begin(self._standing.worker.id)
            except Unavailable as error:
                log.warning("news_not_read", error=str(error))
                await trio.sleep(RETRY_AFTER_S)
            else:
                break
        self._room.approach()
        self.ctx.ref(HEARTBEAT).offer(BeatNow())
        if not self._room.audience:  # else another node attends already, and they publish
            await self._hear_all()
        self._reader.tell()
        self._room.attend(attends=True)

    async def _hear_all(self) -> None:
        """Each of the others publishes something as soon as it hears that somebody attends."""
        with trio.move_on_after(GREETING_S):
            while self._reader.silent:
                await self._rung.wait()
                self._rung = trio.Event()
                await self._read_all()

    async def _read_all(self) -> None:
        try:
            while await self._reader.read(self._standing.worker.id):
                pass
        except Unavailable as error:
            log.warning("news_not_read", error=str(error))
