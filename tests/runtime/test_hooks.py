"""Hooks of the user that fail: they disturb nobody, end the system in order, and what they raise comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from actor_kit import A, B, Boom, Count, Do, End, Note, Slow, fail, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorStopped,
    Crash,
    DeadLetter,
    Exit,
    Intensity,
    Killed,
    Supervisor,
    SystemFailed,
    open_system,
    temporary,
)


def fails_once(error: Exception) -> Callable[[Any], None]:
    """A hook that fails at its first call."""
    told: list[object] = []

    def hear(news: object) -> None:
        told.append(news)
        if len(told) == 1:
            raise error

    return hear


async def test_a_hook_for_crashes_that_fails_ends_the_system_in_order(autojump_clock: MockClock) -> None:
    """The supervisor and the siblings are none the worse: they stop in order, and the body is cancelled."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log), notebook(B, log))
    with pytest.raises(SystemFailed, match="a hook failed: log is full") as failed:  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=fails_once(OSError("log is full"))) as system:
            system.ref(A).tell(Boom())
            await trio.sleep_forever()
    assert repr(failed.value.__cause__) == "OSError('log is full')"
    assert log == ["start a", "start b", "stop b"]  # a was down when all were told to stop
    assert system.statistics().crashes == 1


async def test_a_hook_that_fails_over_a_kill_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    """Neither the system nor the asker: once, that was for ever."""

    def hear(crash: Crash) -> None:
        if isinstance(crash.error, Killed):
            raise OSError("log is full")

    with pytest.raises(SystemFailed, match="log is full"):  # noqa: PT012 - the block is what fails
        async with open_system(Supervisor(notebook(A, [], shutdown=2)), on_crash=hear) as system:
            pending = system.ref(A).request(Slow(1000), within=10_000)
            await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ActorStopped):
        await pending
    assert trio.current_time() == pytest.approx(2)


async def test_a_hook_for_dead_letters_that_fails_hurts_no_sender(autojump_clock: MockClock) -> None:
    """Who tells somebody that is gone hears just that; the hook's error comes out of open_system."""
    log: list[str] = []
    tree = Supervisor(notebook(B, log), notebook(A, [], restart=temporary))
    with pytest.raises(SystemFailed, match="log is full"):  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_dead_letter=fail(OSError("log is full"))) as system:
            system.ref(A).tell(End())
            await system.ref(A).wait_stopped()
            with pytest.raises(ActorStopped):
                system.ref(A).tell(Note("late"))
            await trio.sleep_forever()
    assert log == ["start b", "stop b"]


async def test_hooks_that_fail_at_the_end_keep_nobody_waiting(autojump_clock: MockClock) -> None:
    """All that is queued is buried and all who ask are told, though each letter makes the hook fail."""
    left: list[Any] = []
    tree = Supervisor(*[notebook(name, [], shutdown=1, at_end=left.extend) for name in (A, B)])
    with pytest.raises(SystemFailed) as failed:  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=quiet, on_dead_letter=fail(OSError("log is full"))) as system:
            for name in (A, B):
                system.ref(name).tell(Do(nap(100)))
            await trio.testing.wait_all_tasks_blocked()
            for name in (A, B):
                system.ref(name).tell(Note("left"))
            asks = [system.ref(name).request(Count(), within=1000) for name in (A, B)]
    assert isinstance(failed.value.__cause__, ExceptionGroup)
    assert [repr(each) for each in failed.value.__cause__.exceptions] == ["OSError('log is full')"] * 4
    assert left == [Note("left")] * 2
    assert [letter.path for letter in system.dead_letters] == ["supervisor/b"] * 2 + ["supervisor/a"] * 2
    for pending in asks:
        with pytest.raises(ActorStopped):
            await pending


async def test_whoever_hears_of_an_end_and_fails_keeps_it_from_nobody(autojump_clock: MockClock) -> None:
    """The others hear of it, and the actor is gone from the tree."""
    heard: list[Exit] = []
    tree = Supervisor(notebook(A, [], restart=temporary), notebook(B, []))
    with pytest.raises(SystemFailed, match="deaf"):  # noqa: PT012 - the block is what fails
        async with open_system(tree) as system:
            system.ref(A).when_stopped(fail(OSError("deaf")))
            system.ref(A).when_stopped(heard.append)
            system.ref(A).tell(End())
            await system.ref(A).wait_stopped()
            assert [each.path for each in system.tree().walk()] == ["supervisor/b"]
            await trio.sleep_forever()
    assert heard == [Exit("stopped")]


async def test_a_hook_that_fails_over_a_failure_hides_neither(autojump_clock: MockClock) -> None:
    """A root that gave up, and the hook that could not bear it: both are in the cause."""
    tree = Supervisor(notebook(A, []), intensity=Intensity(0, 1))
    with pytest.raises(SystemFailed, match="supervisor failed: supervisor/a was restarted") as failed:  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=fail(OSError("log is full"))) as system:
            system.ref(A).tell(Boom())
            await trio.sleep_forever()
    assert isinstance(failed.value.__cause__, ExceptionGroup)
    kinds = [type(each).__name__ for each in failed.value.__cause__.exceptions]
    assert kinds == ["GaveUp", "OSError", "OSError"]


async def test_an_interrupt_in_a_hook_interrupts(autojump_clock: MockClock) -> None:
    """It is nobody's failure: it ends the program, and still nobody waits in vain."""

    def hear(news: DeadLetter) -> None:
        raise KeyboardInterrupt

    tree = Supervisor(notebook(A, [], shutdown=1), notebook(B, [], shutdown=1))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=quiet, on_dead_letter=hear) as system:
            for name in (A, B):
                system.ref(name).tell(Do(nap(100)))
            await trio.testing.wait_all_tasks_blocked()
            asks = [system.ref(name).request(Count(), within=1000) for name in (A, B)]
    for pending in asks:
        with pytest.raises(ActorStopped):
            await pending
    assert trio.current_time() < 10


async def test_quiet_hooks_change_nothing(autojump_clock: MockClock) -> None:
    """The contrast: with hooks that do not fail, the same crash and the same letter end nothing."""
    async with open_system(Supervisor(notebook(A, [])), on_crash=quiet, on_dead_letter=unread) as system:
        system.ref(A).tell(Boom())
        assert await system.ref(A).ask(Count()) == 2
