"""What an actor tells itself: timers, results of piped work, news of others; bound to the life that asked for it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from actor_kit import (
    A,
    B,
    Boom,
    C,
    Count,
    Do,
    Down,
    End,
    Get,
    Note,
    Notebook,
    Slow,
    fail,
    ignore_cancels_until,
    nap,
    notebook,
    quiet,
    unread,
)  # fmt: skip
from trio.testing import MockClock

from etlplus.runtime import (
    ActorRestarted,
    Backoff,
    Context,
    Pool,
    Supervisor,
    System,
    Task,
    Timer,
    Wedged,
    open_system,
    temporary,
    transient,
)

TICK = Note("tick")


async def do(system: System, act: Any) -> Any:
    return await system.ref(A).ask(Get(act))


async def test_a_timer_rings_once_and_a_repeating_one_until_it_is_cancelled(autojump_clock: MockClock) -> None:
    """after and every, to the point, under a virtual clock."""
    log: list[str] = []
    timers: list[Timer] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, lambda me: timers.append(me.ctx.after(2.5, Note("once"))))
        await do(system, lambda me: timers.append(me.ctx.every(1, Note("tick"))))
        await trio.sleep(3.1)
        assert log == ["start a", "tick", "tick", "once", "tick"]
        timers[1].cancel()
        timers[0].cancel()
        await trio.sleep(10)
        assert log.count("tick") == 3
        assert system.statistics().alarms == 0


async def test_ticks_are_jittered_by_the_seed(autojump_clock: MockClock) -> None:
    """Each within its share to both sides of the interval, counted from the tick before."""
    at: list[float] = []
    async with open_system(Supervisor(notebook(A, [])), seed=3) as system:
        await do(system, lambda me: me.ctx.every(1, Do(lambda _: at.append(trio.current_time())), jitter=0.2))
        await trio.sleep(20)
    waits = [later - earlier for earlier, later in zip([0, *at], at, strict=False)]
    assert all(0.8 <= wait <= 1.2 for wait in waits)
    assert len({round(wait, 6) for wait in waits}) > 10


@pytest.mark.parametrize(("seconds", "jitter"), [(0, 0), (-1, 0), (1, 1), (1, -0.1)])
async def test_ticks_that_would_not_lie_apart_are_refused(
    autojump_clock: MockClock, seconds: float, jitter: float
) -> None:
    """They would keep the whole system busy for ever."""
    async with open_system(Supervisor(notebook(A, [])), on_crash=quiet) as system:
        with pytest.raises(ActorRestarted) as crashed:
            await do(system, lambda me: me.ctx.every(seconds, TICK, jitter=jitter))
        assert isinstance(crashed.value.__cause__, ValueError)
        assert "more than 0 s apart" in str(crashed.value.__cause__)


async def test_a_timer_of_the_same_key_replaces_the_one_before(autojump_clock: MockClock) -> None:
    """Also one whose tick is queued already: it is not handled."""
    log: list[str] = []

    async def replace_the_queued(me: Notebook) -> None:
        me.ctx.after(1, Note("first"), key="k")
        me.ctx.after(1, Note("another"), key="other")
        await trio.sleep(2)  # both are due meanwhile, and queued
        me.ctx.after(1, Note("second"), key="k")

    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, replace_the_queued)
        await trio.sleep(5)
        assert log == ["start a", "another", "second"]
        assert (system.statistics().shed, system.statistics().unaccounted) == (1, 0)


async def test_a_timer_replaced_before_it_rang_does_not_ring(autojump_clock: MockClock) -> None:
    """The later word counts, sooner or later than the first."""
    log: list[str] = []

    def set_twice(me: Notebook) -> None:
        me.ctx.after(5, Note("first"), key="k")
        me.ctx.after(2, Note("second"), key="k")

    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, set_twice)
        await trio.sleep(10)
    assert log == ["start a", "second", "stop a"]


async def test_ticks_of_a_slow_actor_coalesce(autojump_clock: MockClock) -> None:
    """However many were due while it was busy, one is queued; it stands for all."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, lambda me: me.ctx.every(1, TICK))
        await system.ref(A).ask(Slow(4.5))
        assert await system.ref(A).ask(Count()) == 2
        await trio.sleep(1)
    assert log == ["start a", "tick", "tick", "stop a"]


async def test_timers_that_never_rest_do_not_hold_up_a_stop(autojump_clock: MockClock) -> None:
    """An actor that takes longer over a tick than until the next one stops all the same, well within its budget."""
    log: list[str] = []

    async def slowly(me: Notebook) -> None:
        await trio.sleep(1.5)

    async with open_system(Supervisor(notebook(A, log, shutdown=50))) as system:
        await do(system, lambda me: me.ctx.every(1, Do(slowly)))
        await trio.sleep(1.2)
    assert trio.current_time() < 5
    assert log == ["start a", "stop a"]


async def test_timers_and_piped_work_end_with_their_life(autojump_clock: MockClock) -> None:
    """A tick of an earlier life never reaches the next one, not even one that was queued; work is cancelled."""
    log: list[str] = []

    def first_life_only(me: Notebook) -> None:
        if not log:
            me.ctx.after(1, Note("queued tick"))
            me.ctx.after(3, Note("late tick"))
            me.ctx.every(1, Note("again"))
            me.ctx.pipe(_work(10), Note, lambda error: Note(repr(error)))

    async def busy_then_crash(me: Notebook) -> None:
        await trio.sleep(2)
        raise ValueError("boom")

    tree = Supervisor(notebook(A, log, at_start=first_life_only, backoff=Backoff(first_s=0.5, jitter=0)))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Do(busy_then_crash))
        await trio.sleep(20)
        snapshot = system.tree().actors[0]
        assert system.statistics().alarms == 0
    assert log == ["start a", "start a", "stop a"]
    assert (snapshot.shed, snapshot.unaccounted) == (2, 0)


async def _work(seconds: float, result: str = "done") -> str:
    await trio.sleep(seconds)
    return result


async def test_piped_work_comes_back_as_a_message(autojump_clock: MockClock) -> None:
    """Its value or its error, while the actor goes on with its mailbox."""
    log: list[str] = []

    def pipe_two(me: Notebook) -> None:
        me.ctx.pipe(_work(2), Note, lambda error: Note(repr(error)))
        me.ctx.pipe(_fail_after(3), Note, lambda error: Note(repr(error)))

    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, pipe_two)
        await trio.sleep(1)
        system.ref(A).tell(Note("meanwhile"))
        await trio.sleep(5)
    assert log == ["start a", "meanwhile", "done", "OSError('disk')", "stop a"]


async def _fail_after(seconds: float) -> str:
    await trio.sleep(seconds)
    raise OSError("disk")


async def test_piped_work_may_be_cancelled_without_a_word(autojump_clock: MockClock) -> None:
    """No message follows, not even one that was queued already."""
    log: list[str] = []
    tasks: list[Task] = []

    async def cancel_the_queued(me: Notebook) -> None:
        tasks.append(me.ctx.pipe(_work(1), Note, lambda error: Note(repr(error))))
        tasks.append(me.ctx.pipe(_work(5), Note, lambda error: Note(repr(error))))
        await trio.sleep(2)
        for task in tasks:
            task.cancel()

    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, cancel_the_queued)
        await trio.sleep(10)
        assert system.statistics().unaccounted == 0
    assert log == ["start a", "stop a"]


async def test_a_crash_in_what_makes_the_message_is_a_crash_of_the_actor(autojump_clock: MockClock) -> None:
    """An error in ok is told through bad; an error in bad crashes the actor, whose handler in progress is cut."""
    log: list[str] = []
    crashes: list[str] = []
    tree = Supervisor(notebook(A, log))
    async with open_system(tree, on_crash=lambda crash: crashes.append(repr(crash.error))) as system:
        await do(system, lambda me: me.ctx.pipe(_work(1), fail(OSError("ok")), lambda error: Note(repr(error))))
        await trio.sleep(2)
        await do(system, lambda me: me.ctx.pipe(_fail_after(1), Note, fail(OSError("bad"))))
        with pytest.raises(ActorRestarted):
            await system.ref(A).ask(Slow(4))
        await system.ref(A).ask(Count())
        assert system.statistics().unaccounted == 0
    assert log == ["start a", "OSError('ok')", "start a", "stop a"]
    assert crashes == ["OSError('bad')"]


async def test_the_last_hook_may_wait_for_piped_work_and_is_not_cut_by_its_crash(autojump_clock: MockClock) -> None:
    """Piped work goes on during stopping, and is cancelled afterwards."""
    log: list[str] = []
    crashes: list[str] = []

    def pipe_and_fail(me: Notebook) -> None:
        me.ctx.pipe(_fail_after(1), Note, fail(OSError("bad")))
        me.ctx.pipe(_work(100), Note, lambda error: Note(repr(error)))

    tree = Supervisor(notebook(A, log, at_stop=nap(2)))
    async with open_system(tree, on_crash=lambda crash: crashes.append(repr(crash.error))) as system:
        await do(system, pipe_and_fail)
    assert trio.current_time() == pytest.approx(2)
    assert log == ["start a", "stop a"]
    assert crashes == ["OSError('bad')"]


async def test_who_lost_patience_may_wait_for_piped_work_again(autojump_clock: MockClock) -> None:
    """A wait that was cut short takes nothing from the next one, nor from others who wait at the same time."""
    log: list[str] = []
    tasks: list[Task] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        await do(system, lambda me: tasks.append(me.ctx.pipe(_work(5), Note, lambda error: Note(repr(error)))))
        with trio.move_on_after(1) as patience:
            await tasks[0].wait_ended()
        assert patience.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tasks[0].wait_ended)
            nursery.start_soon(tasks[0].wait_ended)
        assert trio.current_time() == pytest.approx(5)


async def test_watchers_hear_of_the_end_once(autojump_clock: MockClock) -> None:
    """Not of restarts, only of the final end; at once if it has come."""
    log: list[str] = []

    def watch_a(me: Notebook) -> None:
        me.ctx.watch(me.ctx.ref(A), Down)

    tree = Supervisor(notebook(A, [], restart=transient), notebook(B, log, at_start=watch_a))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        await system.ref(A).ask(Count())
        assert log == ["start b"]
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        await system.ref(B).ask(Count())
        assert log == ["start b", "down stopped"]
        await system.ref(B).ask(Get(watch_a))
        await system.ref(B).ask(Count())
        assert log == ["start b", "down stopped", "down stopped"]


@pytest.mark.parametrize(("restart", "reason"), [(temporary, "crashed"), (transient, "killed")])
async def test_watchers_hear_why(autojump_clock: MockClock, restart: str, reason: str) -> None:
    """By a crash, or because it was cut."""
    log: list[str] = []
    victim = notebook(A, [], restart=restart, at_stop=nap(100), shutdown=1)
    async with open_system(Supervisor(notebook(B, log), victim), on_crash=quiet) as system:
        await system.ref(B).ask(Get(lambda me: me.ctx.watch(me.ctx.ref(A), Down)))
        system.ref(A).tell(Boom() if restart == temporary else End())
        assert (await system.ref(A).wait_stopped()).reason == reason
        await system.ref(B).ask(Count())
    assert log == ["start b", f"down {reason}", "stop b"]


async def test_a_watch_ends_with_the_life_that_watched(autojump_clock: MockClock) -> None:
    """However often the watcher restarts and watches again, it hears of the end once, and nothing piles up."""
    log: list[str] = []

    def watch_a(me: Notebook) -> None:
        me.ctx.watch(me.ctx.ref(A), Down)

    tree = Supervisor(notebook(A, [], restart=transient), notebook(B, log, at_start=watch_a))
    async with open_system(tree, on_crash=quiet) as system:
        for _ in range(3):
            system.ref(B).tell(Boom())
            await system.ref(B).ask(Count())
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        await system.ref(B).ask(Count())
        assert [line for line in log if line.startswith("down")] == ["down stopped"]
        assert (system.statistics().shed, system.statistics().unaccounted) == (0, 0)


async def test_the_end_of_the_system_makes_no_dead_letters_of_its_news(autojump_clock: MockClock) -> None:
    """That those one watches stop, too, when all stop, is no loss."""

    def watch_each_other(me: Notebook) -> None:
        for name in (A, B, C):
            me.ctx.watch(me.ctx.ref(name), Down)

    left: list[Any] = []
    tree = Supervisor(*[notebook(name, [], at_start=watch_each_other, at_end=left.extend) for name in (A, B, C)])
    async with open_system(tree, on_dead_letter=unread) as system:
        await system.ref(A).ask(Count())
    assert list(system.dead_letters) == left == []
    assert system.statistics().unaccounted == 0


async def test_a_crash_in_what_makes_news_is_the_watchers(autojump_clock: MockClock) -> None:
    """Not the crash of the one that ended, nor of the supervisor."""
    crashes: list[str] = []
    tree = Supervisor(notebook(A, [], restart=temporary), notebook(B, []))
    async with open_system(tree, on_crash=lambda crash: crashes.append(f"{crash.path} {crash.error!r}")) as system:
        await system.ref(B).ask(Get(lambda me: me.ctx.watch(me.ctx.ref(A), fail(OSError("down")))))
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        await system.ref(B).ask(Count())
        assert system.statistics().unaccounted == 0
    assert crashes == ["supervisor/b OSError('down')"]


async def test_a_pool_is_watched_as_one(autojump_clock: MockClock) -> None:
    """It has ended when its last member has."""
    log: list[str] = []
    tree = Supervisor(Pool(C, lambda: Notebook([]), size=2, restart=transient), notebook(B, log))
    async with open_system(tree) as system:
        await system.ref(B).ask(Get(lambda me: me.ctx.watch(me.ctx.ref(C), Down)))
        system.ref(C).tell(End())
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["start b"]
        system.ref(C).tell(End())
        assert (await system.ref(C).wait_stopped()).reason == "stopped"
        await system.ref(B).ask(Count())
        assert log == ["start b", "down stopped"]


async def test_anybody_may_hear_of_an_end_and_may_lose_interest(autojump_clock: MockClock) -> None:
    """when_stopped is for those who are no actors; what it returns takes it back."""
    heard: list[str] = []
    async with open_system(Supervisor(notebook(A, []))) as system:
        system.ref(A).when_stopped(lambda why: heard.append(why.reason))
        forget = system.ref(A).when_stopped(lambda why: heard.append("not this one"))
        forget()
        forget()
    system.ref(A).when_stopped(lambda why: heard.append(f"{why.reason} already"))
    assert heard == ["stopped", "stopped already"]


async def test_an_actor_acts_through_its_context_alone(autojump_clock: MockClock) -> None:
    """A Context belongs to one life, and knows the actor's own reference."""
    async with open_system(Supervisor(notebook(A, []))) as system:
        context = await do(system, lambda me: me.ctx)
        assert isinstance(context, Context)
        assert context.me.path == "supervisor/a"
        assert not context.stopping
    assert context.stopping


@pytest.mark.parametrize("ends", ["crash", "stop"])
async def test_what_piped_work_raises_over_the_end_of_its_life_is_a_crash(autojump_clock: MockClock, ends: str) -> None:
    """Nobody would hear a message any more, and no error is lost."""
    log: list[str] = []
    crashes: list[str] = []

    async def work() -> str:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("in the end")

    async def begin(me: Notebook) -> None:
        if "begun" not in log:
            log.append("begun")
            me.ctx.pipe(work(), Note, lambda error: Note(repr(error)))
            await trio.sleep(1)

    tree = Supervisor(notebook(A, log))
    async with open_system(tree, on_crash=lambda crash: crashes.append(repr(crash.error))) as system:
        await do(system, begin)
        if ends == "crash":
            system.ref(A).tell(Boom())
            await trio.sleep(1)
    assert len(crashes) == 1
    assert "OSError('in the end')" in crashes[0]
    assert ("ValueError('boom')" in crashes[0]) == (ends == "crash")
    assert "OSError('in the end')" not in log
    assert system.statistics().unaccounted == 0


async def test_work_that_outlives_its_actor_is_told_of_and_keeps_the_next_life_waiting(
    autojump_clock: MockClock,
) -> None:
    """The actor has crashed, but what it piped ignores its cancellation: that is reported, with the place where it stands."""
    release = trio.Event()
    crashes: list[BaseException] = []
    log: list[str] = []

    def begin(me: Notebook) -> None:
        me.ctx.pipe(ignore_cancels_until(release), lambda _: Note("x"), lambda error: Note(repr(error)))

    tree = Supervisor(notebook(A, log))
    async with open_system(tree, on_crash=lambda crash: crashes.append(crash.error)) as system:
        await do(system, begin)
        system.ref(A).tell(Boom())
        await trio.sleep(0.9)
        assert crashes == []
        await trio.sleep(0.2)
        assert [type(error) for error in crashes] == [Wedged]
        assert "ignore_cancels_until" in str(crashes[0])
        assert system.tree().actors[0].status == "wedged"
        release.set()
        assert await system.ref(A).ask(Count()) == 2
    assert [type(error) for error in crashes] == [Wedged, ValueError]
    assert log == ["start a", "start a", "stop a"]
