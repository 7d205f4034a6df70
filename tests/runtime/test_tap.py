"""Listening in, and paying nothing for it while nobody does."""

from __future__ import annotations

import pytest
import trio
from actor_kit import A, B, Boom, C, Count, Do, Note, Notebook, Slow, notebook, quiet
from trio.testing import MockClock

from etlplus.runtime import Pool, Seen, Supervisor, System, Tap, open_system


async def test_a_tap_sees_what_is_handled_how_long_it_takes_and_what_it_raises(autojump_clock: MockClock) -> None:
    """Across restarts, tells and asks, with the time on Trio's clock."""
    async with open_system(Supervisor(notebook(A, [])), on_crash=quiet) as system:
        with system.tap(A) as tap:
            assert isinstance(tap, Tap)
            system.ref(A).tell(Note("x"))
            await system.ref(A).ask(Slow(2))
            system.ref(A).tell(Boom())
            await system.ref(A).ask(Count())
        await system.ref(A).ask(Count())
    assert list(tap.seen) == [
        Seen(0.0, Note("x"), 0.0, ""),
        Seen(0.0, Slow(2), 2.0, ""),
        Seen(2.0, Boom(), 0.0, "ValueError('boom')"),
        Seen(2.0, Count(), 0.0, ""),
    ]
    assert tap.total == 4


async def test_a_tap_keeps_the_newest(autojump_clock: MockClock) -> None:
    """1,024 of them, and the count of all."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        with system.tap(A) as tap:
            for number in range(1500):
                await system.ref(A).put(Note(str(number)))
            await system.ref(A).ask(Count())
    assert (len(tap.seen), tap.total) == (1024, 1501)


def _handlers(system: System) -> dict[type, object]:
    return dict(system.directory.cell(A).handlers)


async def test_a_tap_leaves_the_actor_as_it_was(autojump_clock: MockClock) -> None:
    """After it, the loop is the same code with the same table of the same handlers: it pays nothing for taps gone by."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        cell = system.directory.cell(A)
        table, before = cell.handlers, _handlers(system)
        task = await _task_of(system)
        loop = [frame.f_code for frame, _ in task.iter_await_frames()]
        with system.tap(A), system.tap(A):
            assert all(after != before[kind] for kind, after in _handlers(system).items())
            await system.ref(A).ask(Count())
            assert [frame.f_code for frame, _ in task.iter_await_frames()] == loop
        await trio.testing.wait_all_tasks_blocked()
        assert _handlers(system) == before
        assert cell.handlers is table
        assert [frame.f_code for frame, _ in task.iter_await_frames()] == loop


async def _task_of(system: System) -> trio.lowlevel.Task:
    tasks: list[trio.lowlevel.Task] = []
    system.ref(A).tell(Do(lambda me: tasks.append(trio.lowlevel.current_task())))
    await system.ref(A).ask(Count())
    await trio.testing.wait_all_tasks_blocked()
    return tasks[0]


async def test_a_tap_that_is_closed_sees_nothing_more(autojump_clock: MockClock) -> None:
    """Not even what the actor handles in the same slice; and one that is opened in the midst of a slice sees the rest."""

    async def pause(me: Notebook) -> None:
        await trio.sleep(1)

    async with open_system(Supervisor(notebook(A, []))) as system:
        for text in ("before", "after"):
            system.ref(A).tell(Do(pause))
            system.ref(A).tell(Note(text))
            system.ref(A).tell(Note(text))
        with system.tap(A) as early:
            await trio.sleep(0.5)
        with system.tap(A) as late:
            await system.ref(A).ask(Count())
    assert [seen.message for seen in early.seen if isinstance(seen.message, Note)] == []
    assert [seen.message.text for seen in late.seen if isinstance(seen.message, Note)] == ["before"] * 2 + ["after"] * 2


async def test_taps_are_independent(autojump_clock: MockClock) -> None:
    """Closing one leaves the other open, also across a restart."""
    async with open_system(Supervisor(notebook(A, []), notebook(B, [])), on_crash=quiet) as system:
        with system.tap(A) as outer:
            with system.tap(A) as inner:
                system.ref(A).tell(Boom())
                await system.ref(A).ask(Count())
            await system.ref(A).ask(Count())
            await system.ref(B).ask(Count())
    assert (inner.total, outer.total) == (2, 3)


async def test_who_is_to_be_tapped_must_exist(autojump_clock: MockClock) -> None:
    """The error names those who do."""
    async with open_system(Supervisor(Pool(B, lambda: Notebook([]), size=1), notebook(A, []))) as system:
        with pytest.raises(KeyError, match="nobody is called 'c'; there are a, b, b-0"):
            system.tap(C)
