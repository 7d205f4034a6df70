"""Traps that other runtimes have fallen into, where no other file tells of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio
from actor_kit import A, B, Boom, C, Count, Do, Get, Note, Notebook, Notes, fail, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorStopped,
    AskTimeout,
    Backoff,
    Crash,
    Dynamic,
    Intensity,
    Mailbox,
    MailboxFull,
    Name,
    Spawn,
    Spawner,
    Supervisor,
    one_for_all,
    open_system,
    temporary,
    transient,
)
from etlplus.runtime.incarnation import SLICE_MAX

CHILDREN = Name[Spawner]("children")


async def test_nobody_is_ready_before_started_has_returned(autojump_clock: MockClock) -> None:
    """Neither open_system nor a spawn returns earlier."""
    ready: list[float] = []

    async def slowly(me: Notebook) -> None:
        await trio.sleep(3)
        ready.append(trio.current_time())

    async with open_system(Supervisor(notebook(A, [], at_start=slowly), Dynamic(CHILDREN))) as system:
        assert ready == [3]
        await system.ref(CHILDREN).ask(Spawn(notebook(B, [], at_start=slowly)))
        assert ready == [3, 6]


async def test_nothing_is_handled_between_a_crash_and_the_next_start(autojump_clock: MockClock) -> None:
    """Not in the backoff, not while it starts: neither mail, nor asks, nor ticks."""
    log: list[str] = []

    async def slowly(me: Notebook) -> None:
        me.log.append("begins")
        me.ctx.after(0, Note("tick"))
        await trio.sleep(5)

    tree = Supervisor(notebook(A, log, at_start=slowly, backoff=Backoff(first_s=5, jitter=0)))
    async with open_system(tree, on_crash=quiet) as system:
        await system.ref(A).ask(Count())
        system.ref(A).tell(Boom())
        async with trio.open_nursery() as nursery:
            for second in range(10):
                nursery.start_soon(_note_after, system.ref(A), second)
        await system.ref(A).ask(Count())
    assert log == [
        "begins",
        "start a",
        "tick",
        "begins",
        "start a",
        "tick",
        *[str(second) for second in range(10)],
        "stop a",
    ]


async def _note_after(ref: Any, second: int) -> None:
    await trio.sleep(second + 0.5)
    ref.tell(Note(str(second)))


async def test_a_supervisor_hears_of_its_children_however_full_its_mailbox_is(autojump_clock: MockClock) -> None:
    """News of children go through no mailbox: with hundreds of spawns waiting, crashes and stops go on."""
    log: list[str] = []
    async with open_system(Supervisor(Dynamic(CHILDREN, intensity=Intensity(1000, 1))), on_crash=quiet) as system:
        for number in range(50):
            await system.ref(CHILDREN).ask(Spawn(notebook(Name[Notes](f"n{number}"), log)))
        names = [
            Name[Notes](f"m{number}") for number in range(1025)
        ]  # one goes straight to the supervisor, which waits
        waiting = [system.ref(CHILDREN).request(Spawn(notebook(name, []))) for name in names]
        with pytest.raises(MailboxFull):
            system.ref(CHILDREN).request(Spawn(notebook(A, [])))
        for number in range(50):
            system.ref(Name[Notes](f"n{number}")).tell(Boom())
        for pending in waiting:
            await pending
        await trio.testing.wait_all_tasks_blocked()
        assert len(log) == 100
        assert system.statistics().crashes == 50


async def test_a_mailbox_that_is_full_crashes_a_careless_sender_only(autojump_clock: MockClock) -> None:
    """tell raises in the sender: who does not expect it crashes, who offers does not, and the receiver never does."""
    crashes: list[Crash] = []

    def tell(me: Notebook) -> None:
        me.ctx.ref(B).tell(Note("x"))

    tree = Supervisor(notebook(A, []), notebook(B, [], mailbox=Mailbox(1)), notebook(C, []))
    async with open_system(tree, on_crash=crashes.append) as system:
        system.ref(B).tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(B).tell(Note("fills it"))
        assert await system.ref(C).ask(Get(lambda me: me.ctx.ref(B).offer(Note("x")))) is False
        system.ref(A).tell(Do(tell))
        await system.ref(A).ask(Count())
    assert [(crash.path, type(crash.error)) for crash in crashes] == [("supervisor/a", MailboxFull)]


class Passes(trio.abc.Instrument):
    """Counts how often a task was run."""

    def __init__(self) -> None:
        self.count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


async def test_an_actor_that_waits_or_ends_does_not_spin(autojump_clock: MockClock) -> None:
    """While a last hook takes its time with mail arriving, and while an actor has nothing to do, nothing runs."""
    passes = Passes()
    async with open_system(
        Supervisor(notebook(A, [], at_stop=nap(50), shutdown=100, restart=transient)), drain=200
    ) as system:
        await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(passes)
        await trio.sleep(100)
        assert passes.count < 10
        system.stop()
        await system.ref(A).wait_stopped()
        assert passes.count < 40
    trio.lowlevel.remove_instrument(passes)
    assert trio.current_time() == pytest.approx(150)


async def test_no_slice_is_longer_than_promised(autojump_clock: MockClock) -> None:
    """Between two passes of the scheduler an actor handles 64 messages at most, and a busy one not many fewer."""
    log: list[str] = []
    handled: list[int] = []

    class Steps(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            handled.append(len(log))

    async with open_system(Supervisor(notebook(A, log))) as system:
        for number in range(1000):
            system.ref(A).tell(Note(str(number)))
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        await system.ref(A).ask(Count())
        trio.lowlevel.remove_instrument(steps)
    slices = [later - earlier for earlier, later in pairwise(handled) if later > earlier]
    assert max(slices) <= SLICE_MAX
    assert len(slices) <= 1000 // 8 + 1


async def test_messages_to_oneself_do_not_nest(autojump_clock: MockClock) -> None:
    """Ten thousand in a chain need no deeper stack and no context within a context."""
    left = 10_000
    seen: set[int] = set()

    def again(me: Notebook) -> None:
        nonlocal left
        left -= 1
        seen.add(len(list(trio.lowlevel.current_task().context.items())))
        if left:
            me.ctx.me.tell(Do(again))

    async with open_system(Supervisor(notebook(A, []))) as system:
        system.ref(A).tell(Do(again))
        while left:
            await trio.lowlevel.checkpoint()
    assert len(seen) == 1


async def test_a_supervisor_that_gave_up_is_started_again_by_the_one_above(autojump_clock: MockClock) -> None:
    """Giving up is a crash, no orderly end: even where all children may end, nobody takes it for one."""
    log: list[str] = []
    inner = Supervisor(notebook(A, log, restart=transient), name="inner", intensity=Intensity(0, 1))
    async with open_system(Supervisor(inner, notebook(B, [])), on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        await system.ref(A).ask(Count())
        assert (log, system.tree().restarts) == (["start a", "start a"], 1)


async def test_every_wait_of_a_stop_has_an_end(autojump_clock: MockClock) -> None:
    """Whoever does not answer to the stop, nor to the cancel, nor in the last hook, costs his budget and two seconds."""
    release = trio.Event()
    bad = [
        notebook(A, [], shutdown=2),
        notebook(B, [], shutdown=3, at_stop=lambda me: _ignore(release)),
        notebook(C, [], shutdown=4, at_start=lambda me: me.ctx.pipe(_ignore(release), Note, fail(OSError("no")))),
    ]
    log: list[str] = []
    first = notebook(Name[Notes]("first"), log)
    async with trio.open_nursery() as nursery:

        async def let_go() -> None:
            await trio.sleep(2 + 3 + 4 + 3 * 2)
            assert log == ["start first", "stop first"]
            release.set()

        async with open_system(Supervisor(first, Supervisor(*bad, name="bad")), on_crash=quiet) as system:
            system.ref(A).tell(Do(lambda me: _ignore(release)))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(let_go)


async def _ignore(release: trio.Event) -> Any:
    with trio.CancelScope(shield=True):
        await release.wait()


async def test_an_ask_to_one_that_crashes_again_and_again_ends(autojump_clock: MockClock) -> None:
    """By its deadline if not before, whatever the actor is about."""
    tree = Supervisor(
        notebook(A, [], at_start=_crash_later), notebook(B, [], restart=temporary),
        strategy=one_for_all, intensity=Intensity(1000, 1),
    )  # fmt: skip
    async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
        for _ in range(5):
            began = trio.current_time()
            with pytest.raises((AskTimeout, ActorStopped)):
                await system.ref(A).ask(Do(nap(10)), within=3)  # type: ignore[arg-type]
            assert trio.current_time() - began <= 3


def _crash_later(me: Notebook) -> None:
    me.ctx.after(1, Boom())
