"""
The bellman: rings for other nodes when something was done that they should look at, and passes on what they ring.

He rings at once, and then not again for a moment, so that a burst of work rings a few times and not once for each run. Now and
then he rings for himself alone, and while that is not heard the dispatcher looks more often by itself: bells that are lost
cost time and nothing else.
"""

from __future__ import annotations

import structlog
import trio

from etlplus.actors.messages import (
    CORRESPONDENT,
    DISPATCHER,
    HEARTBEAT,
    SCHEDULER,
    BeatNow,
    Deaf,
    Freed,
    Hear,
    Judge,
    LookAfterYourself,
    NotRung,
    Read,
    Ringing,
    RingOn,
    Test,
    TestHeard,
    Tick,
    Wake,
)
from etlplus.errors import Unavailable
from etlplus.runtime import Actor, Exit, Task
from etlplus.store.bells import WORK_OF, Bell
from etlplus.store.contract import NodeStore

log = structlog.get_logger()

QUIET_S = 0.01
"""Between two rings of this node."""
TEST_EVERY_S = 5.0
HEARD_WITHIN_S = 2.0
KNOWN_HERE = {*WORK_OF, Bell.ROOM, Bell.NEWS}
"""Of what is rung, what whoever it concerns on this node knows without a bell."""
RETRY_AFTER_S = 0.2
RETRY_MAX_S = 5.0


class Earshot:
    """What outlives a crash of the bellman, and can be read without asking him.

    Attributes:
        arrive: Whether the last test was heard; None before the first.
        rung: Bells that this node rang; ``heard``, those of others; ``silences``: how often bells stopped arriving.
    """

    def __init__(self) -> None:
        self.arrive: bool | None = None
        self.rung = self.heard = self.silences = 0


class Bellman(Actor[Ringing]):
    """See the module."""

    def __init__(self, store: NodeStore, earshot: Earshot) -> None:
        self._store = store
        self._earshot = earshot
        self._hearing: Task | None = None
        self._begun = False
        self._retry_s = RETRY_AFTER_S

    async def started(self) -> None:
        self._hear()
        self._ring()

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        """Ring for what was done last, since nobody will after this."""
        try:
            await self._store.ring()
        except Unavailable as error:
            log.warning("bells_not_rung", error=str(error))

    @RingOn.handler
    def ring_on(self, message: RingOn) -> None:
        self._ring()

    @NotRung.handler
    def not_rung(self, message: NotRung) -> None:
        """They were kept, and are rung later, whatever it was that went wrong."""
        log.warning("bells_not_rung", error=message.error)
        self.ctx.after(RETRY_MAX_S, RingOn(), key="ring")

    @Hear.handler
    def hear(self, message: Hear) -> None:
        self._hear()

    @Deaf.handler
    def deaf(self, message: Deaf) -> None:
        """The wait before the next try doubles with each in a row that heard no test."""
        self._hearing = None
        if self._earshot.arrive is not False:
            self._earshot.arrive = False
            self._earshot.silences += 1
            log.warning("bells_silent", error=message.error)
            self.ctx.ref(DISPATCHER).offer(LookAfterYourself())
        self.ctx.after(self._retry_s, Hear(), key="test")
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)

    @Test.handler
    def test(self, message: Test) -> None:
        self._store.pull(Bell.TEST)
        self.ctx.after(HEARD_WITHIN_S, Judge(), key="test")

    @TestHeard.handler
    def test_heard(self, message: TestHeard) -> None:
        if not self._earshot.arrive:
            if self._earshot.arrive is False:  # that all is well from the beginning is no news
                log.info("bells_arrive")
            self._earshot.arrive = True
            self.ctx.ref(DISPATCHER).offer(LookAfterYourself())
        self._retry_s = RETRY_AFTER_S
        self.ctx.after(TEST_EVERY_S, Test(), key="test")

    @Judge.handler
    def judge(self, message: Judge) -> None:
        """The test was not heard in time; perhaps another connection hears more."""
        if self._hearing is not None:
            self._hearing.cancel()
        self.deaf(Deaf("a test was rung and not heard"))

    def _hear(self) -> None:
        self._begun = False
        self._hearing = self.ctx.pipe(self._listen(), Deaf, lambda error: Deaf(str(error)))

    async def _listen(self) -> str:
        """Hear until there is nothing more to hear, and why that is. An outage is no crash, not even over a cancellation."""
        try:
            await self._store.hear(self._heard)
        except Unavailable as error:
            return str(error)
        return "nothing more to hear"

    def _heard(self, bell: Bell) -> None:
        """Called beside the mailbox, whenever a bell is heard; the first is that of a new connection."""
        if bell is Bell.TEST:
            self.ctx.me.offer(TestHeard())
            return
        if not self._begun:
            self._begun = True
            self.ctx.me.offer(Test())
        self._earshot.heard += 1
        self._pass_on(bell)

    def _pass_on(self, bell: Bell) -> None:
        if bell in WORK_OF:
            self.ctx.ref(DISPATCHER).offer(Wake(WORK_OF[bell]))
        elif bell is Bell.ROOM:
            self.ctx.ref(DISPATCHER).offer(Freed())
        elif bell is Bell.PLANS:
            self.ctx.ref(SCHEDULER).offer(Tick())
        elif bell is Bell.HEED:
            self.ctx.ref(HEARTBEAT).offer(BeatNow())
        elif bell is Bell.NEWS:
            self.ctx.ref(CORRESPONDENT).offer(Read())

    def _ring(self) -> None:
        self.ctx.pipe(self._ring_for_others(), NotRung, lambda error: NotRung(repr(error)))

    async def _ring_for_others(self) -> str:
        """Ring whatever is pulled until that fails, and why it did; an outage is no crash here either. What concerns this node
        too, and nobody here was told, is passed on.
        """
        while True:
            await self._store.wait_pulled()
            try:
                rung = await self._store.ring()
            except Unavailable as error:
                return str(error)
            self._earshot.rung += len(rung)
            for bell in rung - KNOWN_HERE:
                self._pass_on(bell)
            await trio.sleep(QUIET_S)
