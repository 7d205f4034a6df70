"""asyncio's loop within Trio: its timers, sockets and threads work as they are used to, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest
import trio

from etlplus.store.postgres.loop import Loop, open_loop

HANG_S = 40.0
"""Far more than anything here takes: who is still waiting then would wait for ever."""


async def test_a_coroutine_is_carried_out_and_answers_or_raises() -> None:
    """What it returns comes back, and so does what it raises."""

    async def answer(value: int) -> int:
        await asyncio.sleep(0)
        return value

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("boom")

    async with open_loop() as loop:
        assert await loop.run(answer(7)) == 7
        with pytest.raises(LookupError, match="boom"):
            await loop.run(fail())


async def test_timers_follow_the_clock_of_trio(autojump_clock: Any) -> None:
    """A minute of asyncio's is a minute of Trio's, and the earlier of two timers is the first."""
    order: list[float] = []

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append(seconds)

    async with open_loop() as loop, trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(loop.run, sleep(60.0))
        await trio.sleep(1)
        nursery.start_soon(loop.run, sleep(5.0))
        await trio.sleep(30)
        assert order == [5.0]
        nursery.start_soon(loop.run, sleep(1.0))
        await trio.sleep(40)
        assert order == [5.0, 1.0, 60.0]
    assert trio.current_time() - began == pytest.approx(71)


async def test_sockets_and_threads_wake_the_loop() -> None:
    """Bytes that arrive and calls from other threads are noticed while nobody else turns the loop."""
    here, there = socket.socketpair()
    with here, there:
        async with open_loop() as loop:

            async def read() -> bytes:
                reader, writer = await asyncio.open_connection(sock=here)
                found = await reader.readexactly(5)
                writer.close()
                return found

            async def ask_thread() -> int:
                return await asyncio.get_running_loop().run_in_executor(None, threading.get_ident)

            with trio.fail_after(HANG_S):
                async with trio.open_nursery() as nursery:

                    @nursery.start_soon
                    async def send() -> None:
                        await trio.testing.wait_all_tasks_blocked()
                        there.send(b"hello")

                    assert await loop.run(read()) == b"hello"
                assert await loop.run(ask_thread()) != threading.get_ident()


async def test_a_cancelled_coroutine_may_still_clean_up_or_end_well() -> None:
    """The one that obeys is cancelled for Trio, too, after it has cleaned up; the result of the one that does not counts."""
    seen: list[str] = []

    async def obey() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            seen.append("clean")

    async def insist() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "done"
        return "never"

    async def cancelled(loop: Loop, coroutine: Any) -> bool:
        with trio.fail_after(HANG_S), trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()

                seen.append(str(await loop.run(coroutine)))
        return scope.cancelled_caught

    async with open_loop() as loop:
        assert await cancelled(loop, obey())
        assert seen == ["clean"]
        await cancelled(loop, insist())
        assert seen == ["clean", "done"]


async def test_one_that_is_cancelled_by_others_says_so_in_asyncios_words() -> None:
    """Nobody in Trio asked for it, so it is no cancellation there."""

    async def cancel_me() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(3600)

    async with open_loop() as loop:
        with pytest.raises(asyncio.CancelledError):
            await loop.run(cancel_me())


async def test_a_coroutine_that_never_rests_lets_others_go_on() -> None:
    """Trio's tasks have their turns in between."""
    enough = trio.Event()

    async def spin() -> None:
        while not enough.is_set():  # noqa: ASYNC110 - it shall be busy
            await asyncio.sleep(0)

    async with open_loop() as loop, trio.open_nursery() as nursery:
        nursery.start_soon(loop.run, spin())
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        enough.set()


async def test_errors_that_nobody_hears_are_logged_and_end_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nor even logged is the one that asyncpg leaves behind when connecting is cancelled."""

    async def leave(error: Exception) -> None:
        asyncio.get_running_loop().create_future().set_exception(error)

    async with open_loop() as loop:
        for error in (
            ConnectionError("unexpected connection_lost() call"),
            ConnectionError("reset"),
            ValueError("odd"),
        ):
            await loop.run(leave(error))
        await loop.run(asyncio.sleep(0))
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["reset", "odd"]
