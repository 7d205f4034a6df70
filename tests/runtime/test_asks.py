"""Asks: each of them ends, and by its deadline."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from actor_kit import (
    A,
    B,
    Boom,
    BoomAsk,
    C,
    Count,
    Do,
    Get,
    No,
    Note,
    Notebook,
    Slow,
    ignore_cancels_until,
    nap,
    notebook,
    quiet,
    unread,
)
from trio.testing import MockClock

from etlplus.runtime import (
    ActorRestarted,
    ActorStopped,
    AskCycle,
    AskTimeout,
    Backoff,
    Mailbox,
    MailboxFull,
    Name,
    Pending,
    Refuse,
    RuntimeFault,
    Supervisor,
    open_system,
    temporary,
)


async def test_every_ask_ends(autojump_clock: MockClock) -> None:
    """By its answer, a refusal, a crash, its deadline, or the end of the actor."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log)), on_crash=quiet, on_dead_letter=unread) as system:
        ref = system.ref(A)
        assert await ref.ask(Count()) == 1
        with pytest.raises(Refuse, match="not today"):
            await ref.ask(No())
        with pytest.raises(ActorRestarted) as crashed:
            await ref.ask(BoomAsk())
        assert repr(crashed.value.__cause__) == "ValueError('boom')"
        began = trio.current_time()
        with pytest.raises(AskTimeout):
            await ref.ask(Slow(100), within=2)
        assert trio.current_time() - began == pytest.approx(2)
    with pytest.raises(ActorStopped):
        await ref.ask(Count())


async def test_an_ask_waits_five_seconds_unless_told(autojump_clock: MockClock) -> None:
    """Nobody waits for ever by mistake."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        began = trio.current_time()
        with pytest.raises(AskTimeout, match="supervisor/a did not answer Slow in time"):
            await system.ref(A).ask(Slow(100))
        assert trio.current_time() - began == pytest.approx(5)


async def test_asks_of_an_actor_that_restarts_wait_for_its_next_life(autojump_clock: MockClock) -> None:
    """Those in its mailbox are answered if there is time; otherwise their deadline ends them, in the midst of the backoff."""
    tree = Supervisor(notebook(A, [], backoff=Backoff(first_s=3, jitter=0)))
    async with open_system(tree, on_crash=quiet) as system:
        ref = system.ref(A)
        ref.tell(Boom())
        patient = ref.request(Count(), within=4)
        with pytest.raises(AskTimeout):
            await ref.ask(Count(), within=1)
        assert trio.current_time() == pytest.approx(1)
        assert await patient == 2
        assert trio.current_time() == pytest.approx(3)


async def test_an_ask_that_nobody_waits_for_is_shed(autojump_clock: MockClock) -> None:
    """Work for an asker that has left, or whose time is over, is not done."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        ref = system.ref(A)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Slow(3))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(AskTimeout):
                await ref.ask(Get(lambda me: me.log.append("done")), within=1)
            with trio.move_on_after(1) as left:
                await ref.ask(Get(lambda me: me.log.append("done")))
        assert left.cancelled_caught
        await ref.ask(Count())
        snapshot = system.tree().actors[0]
    assert snapshot.shed == 2
    assert snapshot.unaccounted == 0
    assert "done" not in log


async def test_an_ask_ends_while_its_actor_ignores_even_its_end(autojump_clock: MockClock) -> None:
    """Deadlines are kept to the last moment of a system, also of asks to somebody who is wedged."""
    release = trio.Event()
    async with trio.open_nursery() as nursery:
        async with open_system(Supervisor(notebook(A, [], shutdown=1)), drain=2, on_crash=quiet) as system:
            pending = system.ref(A).request(Get(lambda me: ignore_cancels_until(release)), within=50)
            await trio.testing.wait_all_tasks_blocked()

            async def outlive() -> None:
                with pytest.raises(AskTimeout):
                    await pending
                assert trio.current_time() == pytest.approx(50)
                release.set()

            nursery.start_soon(outlive)


@pytest.mark.parametrize("others", [(A,), (B, A), (B, C, A)])
async def test_a_cycle_of_asks_is_refused_with_its_path(
    autojump_clock: MockClock, others: tuple[Name[Any], ...]
) -> None:
    """To oneself, to each other, through a third: refused before anybody waits."""
    paths: list[list[str]] = []
    last = others[-2] if len(others) > 1 else A

    async def close_the_ring(me: Notebook) -> None:
        try:
            await me.ctx.ref(A).ask(Count())
        except AskCycle as cycle:
            paths.append(cycle.path)

    async def along(me: Notebook, *names: Name[Any]) -> None:
        if len(names) == 1:
            await close_the_ring(me)
        else:
            await me.ctx.ref(names[0]).ask(Get(lambda other: along(other, *names[1:])))

    tree = Supervisor(*[notebook(name, []) for name in (A, B, C)])
    async with open_system(tree) as system:
        await system.ref(A).ask(Get(lambda me: along(me, *others)))
        assert trio.current_time() == 0
    ring = [last, A, *others[:-1]]
    assert paths == [[f"supervisor/{name.value}" for name in ring]]
    assert str(AskCycle(["a", "b", "a"])) == "would wait for ever: a -> b -> a"


async def test_a_cycle_through_a_put_is_refused(autojump_clock: MockClock) -> None:
    """a waits for room at b while b asks a: that would be for ever, too. So would waiting for room at oneself."""
    found: list[str] = []

    async def put_to_b(me: Notebook) -> None:
        me.ctx.ref(B).tell(Note("fills it"))
        await me.ctx.ref(B).put(Note("waits"))

    async def ask_a(me: Notebook) -> None:
        await trio.sleep(1)
        try:
            await me.ctx.ref(A).ask(Count())
        except AskCycle as cycle:
            found.append("->".join(cycle.path))

    async def put_to_oneself(me: Notebook) -> None:
        me.ctx.me.tell(Note("fills it"))
        try:
            await me.ctx.me.put(Note("waits"))
        except AskCycle as cycle:
            found.append("->".join(cycle.path))

    tree = Supervisor(notebook(A, []), notebook(B, [], mailbox=Mailbox(1)), notebook(C, [], mailbox=Mailbox(1)))
    async with open_system(tree) as system:
        system.ref(B).tell(Do(ask_a))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Do(put_to_b))
        await trio.sleep(2)
        system.ref(C).tell(Do(put_to_oneself))
        await system.ref(A).ask(Count())
        await trio.testing.wait_all_tasks_blocked()
        assert system.statistics().unaccounted == 0
    assert found == ["supervisor/b->supervisor/a->supervisor/b", "supervisor/c->supervisor/c"]


async def test_a_request_that_would_close_a_cycle_is_refused_and_piped_work_may_ask(autojump_clock: MockClock) -> None:
    """A handler must not ask who waits for it, not even to await the answer later; work beside the mailbox holds up nobody."""
    log: list[str] = []

    def ask_back(me: Notebook) -> None:
        with pytest.raises(AskCycle):
            me.ctx.ref(A).request(Count())
        me.ctx.pipe(me.ctx.ref(A).ask(Count()), lambda n: Note(f"counted {n}"), lambda error: Note(repr(error)))

    async with open_system(Supervisor(notebook(A, []), notebook(B, log))) as system:
        await system.ref(A).ask(Get(lambda me: me.ctx.ref(B).ask(Get(ask_back))))
        await trio.testing.wait_all_tasks_blocked()
        assert system.statistics().unaccounted == 0
    assert log == ["start b", "counted 1", "stop b"]


async def _answer_of(pending: Any) -> Any:
    return await pending


async def test_asks_within_a_handler_wait_no_longer_than_its_own_asker(autojump_clock: MockClock) -> None:
    """The deadline travels: through asks, requests and puts, also from tasks of the handler."""
    ended: list[float] = []

    async def ask_slowly(me: Notebook) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(note_end, me.ctx.ref(B).ask, Slow(100))
            await note_end(me.ctx.ref(B).ask, Slow(100), 50.0)
            await note_end(me.ctx.ref(C).put, Note("x"))

    async def note_end(call: Any, message: Any, within: float = 5.0) -> None:
        try:
            await call(message, within=within)
        except AskTimeout:
            ended.append(trio.current_time())

    tree = Supervisor(notebook(A, []), notebook(B, []), notebook(C, [], mailbox=Mailbox(1)))
    async with open_system(tree) as system:
        system.ref(C).tell(Do(nap(20)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(C).tell(Note("fills it"))
        with pytest.raises(AskTimeout):
            await system.ref(A).ask(Get(ask_slowly), within=2)
        await trio.sleep(1)
    assert ended == [2, 2, 2]


async def test_piped_work_inherits_no_deadline(autojump_clock: MockClock) -> None:
    """It is nobody's handler: it may take longer than whoever asked for it waits."""
    log: list[str] = []

    def begin(me: Notebook) -> None:
        me.ctx.pipe(me.ctx.ref(B).ask(Slow(4)), lambda n: Note("done"), lambda error: Note(repr(error)))

    async with open_system(Supervisor(notebook(A, log), notebook(B, []))) as system:
        await system.ref(A).ask(Get(begin), within=1)
        await trio.sleep(5)
    assert log[1] == "done"


async def test_a_pending_answer_is_awaited_once_at_a_time(autojump_clock: MockClock) -> None:
    """A second task is told so at once, and does not make the first one wait for ever."""
    async with open_system(Supervisor(notebook(A, []))) as system, trio.open_nursery() as nursery:
        pending = system.ref(A).request(Slow(1))
        assert isinstance(pending, Pending)
        nursery.start_soon(_answer_of, pending)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(RuntimeError, match="another task waits already"):
            await pending
        nursery.cancel_scope.deadline = 3
    assert trio.current_time() == pytest.approx(1)
    assert await pending == 1


async def test_an_abandoned_answer_does_not_turn_into_none(autojump_clock: MockClock) -> None:
    """Who was cancelled while it waited, and waits again, hears that nobody waited any more."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        pending = system.ref(A).request(Slow(3))
        with trio.move_on_after(1):
            await pending
        with pytest.raises(AskTimeout, match="nobody waited any more"):
            await pending


async def test_a_full_mailbox_refuses_an_ask_at_once(autojump_clock: MockClock) -> None:
    """An ask does not wait for room: its asker is told."""
    async with open_system(Supervisor(notebook(A, [], mailbox=Mailbox(1)))) as system:
        system.ref(A).tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Note("fills it"))
        with pytest.raises(MailboxFull, match=r"the mailbox of supervisor/a is full \(1\)"):
            await system.ref(A).ask(Count())
        assert system.statistics().rejected == 1


async def test_who_asks_somebody_that_is_stopped_hears_whether_it_had_begun(autojump_clock: MockClock) -> None:
    """begun=False: asking another is safe. begun=True: who knows."""
    begun: list[bool] = []

    async def ask(pending: Any) -> None:
        with pytest.raises(ActorStopped) as stopped:
            await pending
        begun.append(stopped.value.begun)

    tree = Supervisor(notebook(A, [], shutdown=1))
    async with trio.open_nursery() as nursery:
        async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
            nursery.start_soon(ask, system.ref(A).request(Slow(100), within=200))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ask, system.ref(A).request(Count(), within=200))
    assert begun == [True, False]


async def test_asks_in_the_mailbox_of_one_that_is_gone_end(autojump_clock: MockClock) -> None:
    """A temporary actor crashes for good: those behind it in the queue hear that it has stopped."""
    async with open_system(
        Supervisor(notebook(A, [], restart=temporary)), on_crash=quiet, on_dead_letter=unread
    ) as system:
        system.ref(A).tell(Boom())
        with pytest.raises(ActorStopped) as stopped:
            await system.ref(A).ask(Count())
        assert not stopped.value.begun
        assert isinstance(stopped.value, RuntimeFault)


async def test_a_deadline_that_is_no_number_is_refused(autojump_clock: MockClock) -> None:
    """It would put the deadlines of all others out of order; nothing is sent."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        system.ref(A).tell(Do(nap(20)))
        pending = [system.ref(A).request(Count(), within=within) for within in (3, 2, 1)]
        with pytest.raises(ValueError, match="not for nan"):
            system.ref(A).request(Count(), within=float("nan"))
        for each in pending:
            with pytest.raises(AskTimeout):
                await each
        assert trio.current_time() == pytest.approx(3)


@pytest.mark.parametrize("within", [0, -1, -1e9])
async def test_a_deadline_in_the_past_ends_at_once(autojump_clock: MockClock, within: float) -> None:
    """The ask is not handled, and no time passes."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(1)))) as system:
        with pytest.raises(AskTimeout):
            await system.ref(A).ask(Get(lambda me: me.log.append("done")), within=within)
        system.ref(A).tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Note("fills it"))
        with pytest.raises(AskTimeout):
            await system.ref(A).put(Note("x"), within=within)
        assert trio.current_time() == 0
    assert log == ["start a", "fills it", "stop a"]
    assert system.statistics().unaccounted == 0


async def test_who_waits_for_one_that_was_cut_does_not_wait_in_vain(autojump_clock: MockClock) -> None:
    """What lies in the mailbox of an actor that ends over a stop ends with it: who stops later is not cut for that."""
    crashes: list[str] = []
    log: list[str] = []

    async def ask_b(me: Notebook) -> None:
        with pytest.raises(ActorStopped):
            await me.ctx.ref(B).ask(Count(), within=1000)
        me.log.append("was told")

    tree = Supervisor(notebook(A, log), notebook(B, [], shutdown=1))
    async with open_system(tree, on_crash=lambda crash: crashes.append(crash.path), on_dead_letter=unread) as system:
        system.ref(B).tell(Do(nap(1000)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Do(ask_b))
        await trio.testing.wait_all_tasks_blocked()
    assert log == ["start a", "was told", "stop a"]
    assert crashes == ["supervisor/b"]
    assert trio.current_time() == pytest.approx(1)
