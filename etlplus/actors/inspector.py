"""
The inspector: looks at the boards that somebody watches here.

Once a second, and at once when somebody says that a board is not as it was; never more often than a few times a second, and
never for more than a tenth of the time. A board that nobody watches is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import structlog
import trio

from etlplus.actors.boards import Board
from etlplus.actors.messages import Blinded, Inspecting
from etlplus.errors import Unavailable
from etlplus.runtime import Actor

log = structlog.get_logger()

LOOK_EVERY_S = 1.0
BREATH_S = 0.1
"""Between two looks, however much is said to have changed."""
LINGER_S = 5.0
"""How long to remember what was seen when the last watcher has gone."""
PAUSE_PER_LOOK = 9.0
"""A store that takes long to answer is asked the less often."""


class Inspector(Actor[Inspecting]):
    """See the module."""

    def __init__(self, boards: Sequence[Board]) -> None:
        self._boards = boards

    async def started(self) -> None:
        for board in self._boards:
            self.ctx.pipe(self._inspect(board), lambda _: Blinded("it ended"), lambda error: Blinded(repr(error)))

    @Blinded.handler
    def blinded(self, message: Blinded) -> None:
        raise RuntimeError(f"a board cannot be looked at: {message.error}")

    async def _inspect(self, board: Board) -> NoReturn:
        while True:
            if not board.followed:
                await self._wait_followed(board)
            await trio.sleep(await self._look(board))
            with trio.move_on_after(LOOK_EVERY_S):
                await board.stir.wait()

    async def _wait_followed(self, board: Board) -> None:
        """Whoever gets a new snapshot is away for a moment, and wants to hear what has changed since the last."""
        with trio.move_on_after(LINGER_S):
            await board.wait_followed()
        if not board.followed:
            board.forget()
            await board.wait_followed()

    async def _look(self, board: Board) -> float:
        """Look once; for how many seconds not to look again, whatever happens."""
        began = trio.current_time()
        try:
            await board.look()
        except Unavailable as error:
            log.warning("board_not_read", board=board.topic, error=str(error))
            return LOOK_EVERY_S
        return max(BREATH_S, PAUSE_PER_LOOK * (trio.current_time() - began))
