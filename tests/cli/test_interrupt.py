"""Ctrl-C ends a command in order, wherever the program happens to be when it comes."""

import os
import signal
from collections.abc import Iterator

import pytest
import trio

from etlplus.cli.interrupt import interruptible


@pytest.fixture(autouse=True)
def as_started() -> Iterator[None]:
    """These tests may themselves run in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Unfortunate:
    """Ctrl-C comes while this is destroyed, where exceptions are printed and forgotten."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


async def test_ctrl_c_cancels_and_waits_for_the_end() -> None:
    """What ends in order may do so, also if the signal comes where a KeyboardInterrupt would be lost."""
    done: list[str] = []

    async def act(word: str) -> None:
        try:
            unfortunate = Unfortunate()
            del unfortunate
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                done.append(word)

    with trio.fail_after(60), pytest.raises(KeyboardInterrupt):
        await interruptible(act, "ended")
    assert done == ["ended"]


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGHUP])
async def test_the_end_of_the_terminal_or_of_its_starter_cancels_too(word: signal.Signals) -> None:
    """Else whatever the command has started would go on without it."""

    async def act() -> None:
        os.kill(os.getpid(), word)
        await trio.sleep_forever()

    with trio.fail_after(60), pytest.raises(KeyboardInterrupt):
        await interruptible(act)


async def test_who_was_started_to_ignore_ctrl_c_ignores_it() -> None:
    """A command in the background of a script is not ended by a Ctrl-C that was meant for something else."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def act() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        await trio.lowlevel.checkpoint()
        return "went on"

    assert await interruptible(act) == "went on"


async def test_what_is_not_interrupted_gives_its_result_and_its_error() -> None:
    """Without Ctrl-C nothing changes: the result is returned, an error comes out as it is."""

    async def double(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 2 * number

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("mine")

    assert await interruptible(double, 21) == 42
    with pytest.raises(LookupError, match="mine"):
        await interruptible(fail)
