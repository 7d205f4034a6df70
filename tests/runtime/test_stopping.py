"""Stopping: in order, within budgets, whatever is cancelled when; and nothing is left behind."""

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
    Notes,
    Slow,
    fail,
    ignore_cancels_until,
    nap,
    notebook,
    quiet,
    unread,
)
from trio.testing import MockClock

from etlplus.runtime import (
    ActorStopped,
    Backoff,
    Crash,
    Dynamic,
    Exit,
    Killed,
    Name,
    Spawn,
    Spawner,
    Supervisor,
    System,
    Wedged,
    child,
    one_for_all,
    open_system,
    rest_for_one,
    temporary,
    unwrapped,
)
from etlplus.runtime.testing import simulate


def living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def test_children_stop_in_exactly_the_reverse_of_their_start(autojump_clock: MockClock) -> None:
    """Start order a, b, c; stop order c, b, a; each start waits for the one before to be ready."""
    log: list[str] = []
    inner = Supervisor(notebook(B, log), name="inner")
    async with open_system(Supervisor(notebook(A, log), inner, notebook(C, log))):
        assert log == ["start a", "start b", "start c"]
    assert log[3:] == ["stop c", "stop b", "stop a"]


async def test_a_stop_takes_the_reverse_order_whatever_crashed_before(autojump_clock: MockClock) -> None:
    """Also when a restart has just happened, or is about to."""
    for seconds in (0, 0.5, 1, 1.5):
        log: list[str] = []
        tree = Supervisor(notebook(A, log), notebook(B, log, backoff=Backoff(first_s=1, jitter=0)), notebook(C, log))
        async with open_system(tree, on_crash=quiet) as system:
            system.ref(B).tell(Boom())
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(seconds)
        stops = [line for line in log if line.startswith("stop")]
        assert stops in (["stop c", "stop b", "stop a"], ["stop c", "stop a"])
        assert (len(stops) == 3) == (log.count("start b") == 2)


async def test_what_is_queued_is_handled_before_the_stop_and_nothing_new_is_taken(autojump_clock: MockClock) -> None:
    """Drain: finish what is in hand and in the mailbox, and take no more."""
    log: list[str] = []
    found: list[str] = []

    async def tell_oneself(me: Notebook) -> None:
        assert not me.ctx.stopping
        await trio.sleep(1)
        assert me.ctx.stopping
        try:
            me.ctx.me.tell(Note("too late"))
        except ActorStopped as stopped:
            found.append(str(stopped))

    async with open_system(Supervisor(notebook(A, log)), on_dead_letter=unread) as system:
        system.ref(A).tell(Do(tell_oneself))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Note("queued"))
    assert log == ["start a", "queued", "stop a"]
    assert found == ["supervisor/a has stopped"]
    assert [(letter.message, letter.why) for letter in system.dead_letters] == [(Note("too late"), "stopped")]


async def test_an_outer_cancel_drains_in_order(autojump_clock: MockClock) -> None:
    """What is queued when the embedder is cancelled is handled, then everybody stops."""
    log: list[str] = []
    with trio.CancelScope() as scope:
        async with open_system(Supervisor(notebook(A, log), notebook(B, log))) as system:
            for number in range(3):
                system.ref(A).tell(Note(str(number)))
            scope.cancel()
            await trio.sleep_forever()
    assert [line for line in log if line != "stop b"] == ["start a", "start b", "0", "1", "2", "stop a"]
    assert log.index("stop b") < log.index("stop a")


def test_a_cancel_at_any_moment_leaves_nothing_behind() -> None:
    """During start, readiness, work, restart, backoff and stop: it ends, in reverse order, without a task left over."""
    ready, stopped = 0, 0
    for moment in range(120):
        log: list[str] = []

        async def story(rng: object, moment: int = moment, log: list[str] = log) -> None:
            before = living()
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_at, scope, moment)
                    with trio.CancelScope(shield=True) as bound:
                        bound.shield = False
                        await _eventful(log)
                    nursery.cancel_scope.cancel()
            assert living() == before

        simulate(story, moment)
        starts = [line[-1] for line in log if line.startswith("start")]
        stops = [line[-1] for line in log if line.startswith("stop")]
        ready += "ready" in log
        stopped += len(stops)
        last_stops = stops[-len(set(starts)) :]
        assert last_stops == sorted(last_stops, reverse=True), f"moment {moment}: {log}"
    assert 0 < ready < 120
    assert stopped > 120


async def _cancel_at(scope: trio.CancelScope, moment: int) -> None:
    for _ in range(moment):
        await trio.lowlevel.checkpoint()
    scope.cancel()


async def _eventful(log: list[str]) -> None:
    """A system to which much happens in few passes of the scheduler."""

    async def step(me: Notebook) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()

    hooks: dict[str, Any] = {"at_start": step, "at_stop": step}
    inner = Supervisor(notebook(B, log, **hooks), notebook(C, log, **hooks), name="inner", strategy=rest_for_one)
    async with open_system(
        Supervisor(notebook(A, log, **hooks), inner), on_crash=quiet, on_dead_letter=unread
    ) as system:
        log.append("ready")
        system.ref(B).tell(Boom())
        await system.ref(C).ask(Count())
        for _ in range(20):
            await trio.lowlevel.checkpoint()


async def test_a_cancel_during_the_start_stops_what_had_started(autojump_clock: MockClock) -> None:
    """In order, with its queue handled and its hooks run; who was still starting is cut."""
    log: list[str] = []
    before = living()
    tree = Supervisor(notebook(A, log), notebook(B, log), notebook(C, log, at_start=nap(100), start_within=200))
    with trio.move_on_after(5) as scope:
        async with open_system(tree, on_crash=quiet):
            pytest.fail("the body must not run")
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(5)
    assert log == ["start a", "start b", "stop b", "stop a"]
    assert living() == before


async def test_a_stop_that_takes_too_long_is_cut_at_its_budget(autojump_clock: MockClock) -> None:
    """A handler that does not come to an end is cancelled after its child's budget, which is reported."""
    crashes: list[Crash] = []
    async with open_system(Supervisor(notebook(A, [], shutdown=2)), on_crash=crashes.append) as system:
        system.ref(A).tell(Do(nap(1000)))
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(2)
    assert [repr(crash.error) for crash in crashes] == ["Killed('supervisor/a did not stop within its budget')"]
    assert crashes[0].message_type == "Do"
    assert system.statistics().crashes == 1


async def test_a_last_hook_is_cut_at_its_budget_and_reported(autojump_clock: MockClock) -> None:
    """The hook shares its actor's budget, but has a second at least; an actor that stops itself is bound by it, too."""
    crashes: list[Crash] = []
    tree = Supervisor(
        notebook(A, [], at_stop=nap(1000), shutdown=3),
        notebook(B, [], at_stop=nap(1000), shutdown=4, restart=temporary),
        notebook(C, [], at_stop=nap(1000), shutdown=2),
    )
    async with open_system(tree, on_crash=crashes.append) as system:
        system.ref(B).tell(End())
        assert await system.ref(B).wait_stopped() == Exit("killed")
        assert trio.current_time() == pytest.approx(4)
        system.ref(C).tell(Do(nap(1.5)))
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(4 + 1.5 + 1 + 3)
    assert [crash.path[-1] for crash in crashes] == ["b", "c", "a"]
    assert {type(crash.error) for crash in crashes} == {Killed}


async def test_the_whole_budget_cuts_everybody_in_one_stroke(autojump_clock: MockClock) -> None:
    """When the time of the system is over, whoever still runs is cancelled and named: at work, in a hook, or deep below."""
    crashes: list[Crash] = []
    inner = Supervisor(notebook(B, [], shutdown=100), name="inner")
    tree = Supervisor(notebook(A, [], shutdown=100), inner, notebook(C, [], at_stop=nap(1000), shutdown=100))
    async with open_system(tree, drain=7, on_crash=crashes.append) as system:
        for name in (A, B):
            system.ref(name).tell(Do(nap(1000)))
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(7)
    assert sorted(crash.path for crash in crashes) == ["supervisor/a", "supervisor/c", "supervisor/inner/b"]
    assert {type(crash.error) for crash in crashes} == {Killed}


async def test_a_second_stop_with_no_time_ends_it_at_once(autojump_clock: MockClock) -> None:
    """The second signal: skip the drain. A longer budget than before is not granted any more."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log, shutdown=100), notebook(B, log, at_stop=nap(1000), shutdown=100))
    async with open_system(tree, drain=60, on_crash=quiet) as system:
        system.ref(A).tell(Do(nap(1000)))
        await trio.testing.wait_all_tasks_blocked()
        system.stop()
        await trio.sleep(10)
        system.stop(drain=1000)
        await trio.sleep(10)
        system.stop(drain=0)
    assert trio.current_time() == pytest.approx(20)
    assert log == ["start a", "start b"]


async def test_stopping_twice_at_once_does_no_harm(autojump_clock: MockClock) -> None:
    """A stop is a wish; wishing again changes nothing but the budget."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        system.stop()
        system.stop()
        assert await system.ref(A).wait_stopped() == Exit("stopped")
        system.stop(drain=0)
    assert log == ["start a", "stop a"]


@pytest.mark.parametrize("strategy", [one_for_all, rest_for_one])
async def test_a_stop_does_not_wait_for_a_restart_in_progress(autojump_clock: MockClock, strategy: str) -> None:
    """Neither for its backoff, nor for a start that takes its time, nor for siblings on their way out."""
    starts = 0

    async def slow_the_second_time(me: Notebook) -> None:
        nonlocal starts
        starts += 1
        if starts == 2:
            await trio.sleep(1000)

    for seconds in (0, 5, 15):
        starts, began = 0, trio.current_time()
        backoff = Backoff(first_s=10, jitter=0)
        tree = Supervisor(
            notebook(A, [], at_start=slow_the_second_time, backoff=backoff, start_within=2000), notebook(B, []),
            strategy=strategy,  # type: ignore[arg-type]
        )  # fmt: skip
        async with open_system(tree, on_crash=quiet) as system:
            system.ref(A).tell(Boom())
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(seconds)
        assert trio.current_time() == pytest.approx(began + seconds)


async def test_who_ignores_its_cancellation_is_wedged_and_holds_up_only_itself(autojump_clock: MockClock) -> None:
    """It is reported with the place where it stands; all others stop in order meanwhile, also those above and before it."""
    log: list[str] = []
    crashes: list[Crash] = []
    release = trio.Event()
    inner = Supervisor(notebook(B, log, shutdown=1), name="inner")
    tree = Supervisor(notebook(A, log), inner, notebook(C, log))
    before = living()

    async def look_and_release() -> None:
        await trio.sleep(5)
        assert log == ["start a", "start b", "start c", "stop c", "stop a"]
        assert {each.path[-1]: each.status for each in system.tree().walk()}["b"] == "wedged"
        release.set()

    async with trio.open_nursery() as nursery:
        async with open_system(tree, on_crash=crashes.append) as system:
            system.ref(B).tell(Do(lambda me: ignore_cancels_until(release)))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(look_and_release)
    assert trio.current_time() == pytest.approx(5)
    assert [type(crash.error) for crash in crashes] == [Wedged]
    assert "ignore_cancels_until" in str(crashes[0].error)
    assert "await event.wait()" in str(crashes[0].error)
    assert system.statistics().unaccounted == 0
    assert living() == before


@pytest.mark.parametrize("hook", ["at_stop", "at_end", "shows"])
async def test_a_crash_in_a_hook_harms_nobody_else(autojump_clock: MockClock, hook: str) -> None:
    """Reported, or shown in its place; the others stop in order."""
    log: list[str] = []
    crashes: list[Crash] = []
    tree = Supervisor(notebook(A, log), notebook(B, [], shutdown=1, **{hook: fail(OSError("disk"))}), notebook(C, log))
    async with open_system(tree, on_crash=crashes.append, on_dead_letter=unread) as system:
        system.ref(B).tell(Do(nap(1000)) if hook == "at_end" else Note("x"))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(B).tell(Note("left"))
        states = [each.state for each in system.tree().actors]
    assert log == ["start a", "start c", "stop c", "stop a"]
    told = [repr(crash.error) for crash in crashes]
    if hook == "shows":
        assert states == [None, "snapshot raised OSError('disk')", None]
        assert told == []
    else:
        assert told[-1] == "OSError('disk')"


async def test_what_is_left_goes_to_the_last_life(autojump_clock: MockClock) -> None:
    """The undelivered hook gets the tells that nobody will handle, in order; asks are told by themselves."""
    left: list[Any] = []
    tree = Supervisor(notebook(A, [], shutdown=1, at_end=left.extend))
    async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
        system.ref(A).tell(Do(nap(100)))
        await trio.testing.wait_all_tasks_blocked()
        system.ref(A).tell(Note("1"))
        pending = system.ref(A).request(Count())
        system.ref(A).tell(Note("2"))
    assert left == [Note("1"), Note("2")]
    assert [letter.why for letter in system.dead_letters] == ["undelivered"] * 3
    with pytest.raises(ActorStopped):
        await pending
    assert (system.statistics().undelivered, system.statistics().unaccounted) == (3, 0)


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
async def test_a_stop_that_meets_one_that_was_wanted_loses_nothing(autojump_clock: MockClock, restart: str) -> None:
    """An actor wants to stop, and the system stops before it comes to that: what is queued is handled all the same."""
    log: list[str] = []

    async def want_to_stop(me: Notebook) -> None:
        me.ctx.stop()
        await trio.sleep(1)

    async with open_system(Supervisor(notebook(A, log, restart=restart))) as system:
        system.ref(A).tell(Do(want_to_stop))
        system.ref(A).tell(Note("queued"))
        await trio.testing.wait_all_tasks_blocked()
    assert log == ["start a", "queued", "stop a"]


async def test_the_last_word_is_had_by_the_body(autojump_clock: MockClock) -> None:
    """An error of the body comes out bare, after the tree has drained; one beside a failing tree comes out in a group."""
    log: list[str] = []
    with pytest.raises(OSError, match="of the body"):  # noqa: PT012 - the block is what fails
        async with open_system(Supervisor(notebook(A, log))) as system:
            system.ref(A).tell(Note("queued"))
            raise OSError("of the body")
    assert log == ["start a", "queued", "stop a"]
    with pytest.raises(ExceptionGroup) as both:  # noqa: PT012 - the block is what fails
        async with open_system(
            Supervisor(notebook(A, log, backoff=Backoff(100)), intensity=_never()), on_crash=quiet
        ) as system:
            system.ref(A).tell(Boom())
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("of the body")
    assert {type(each).__name__ for each in both.value.exceptions} == {"OSError", "SystemFailed"}


def _never() -> Any:
    from etlplus.runtime import Intensity

    return Intensity(0, 1)


def test_a_lone_error_is_unwrapped_and_others_are_left() -> None:
    """However deep, or as deep as one is told; with the cause and the context that it was raised with."""
    cause, context = OSError("cause"), OSError("context")

    def come_out(raised: BaseException, *nurseries: int) -> BaseException:
        try:
            with unwrapped(*nurseries):
                raise raised
        except BaseException as error:  # noqa: BLE001 - that is what it is about
            return error

    error = ValueError("x")
    error.__cause__, error.__context__ = cause, context
    deep = ExceptionGroup("a", [ExceptionGroup("b", [error])])
    assert come_out(deep) is error
    assert (error.__cause__, error.__context__) == (cause, context)
    assert come_out(deep, 1) is deep.exceptions[0]
    several = ExceptionGroup("a", [error, OSError("y")])
    assert come_out(several) is several
    assert come_out(error) is error


async def test_interrupts_are_no_crashes(autojump_clock: MockClock) -> None:
    """KeyboardInterrupt and SystemExit go through the tree to the program, untouched; nobody counts them, nothing stays."""
    for interrupt in (KeyboardInterrupt, SystemExit):
        crashes: list[Crash] = []
        before = living()
        inner = Supervisor(notebook(B, []), notebook(C, []), name="inner")
        with pytest.raises(interrupt):  # noqa: PT012 - the block is what fails
            async with open_system(Supervisor(notebook(A, []), inner), on_crash=crashes.append) as system:
                system.ref(B).tell(Do(fail(interrupt())))
                await trio.sleep_forever()
        assert crashes == []
        assert system.statistics().unaccounted == 0
        assert living() == before


@pytest.mark.parametrize("hook", ["at_start", "at_stop"])
async def test_interrupts_in_hooks_are_no_crashes_either(autojump_clock: MockClock, hook: str) -> None:
    """Neither while it starts nor while it stops."""
    crashes: list[Crash] = []
    tree = Supervisor(notebook(A, []), notebook(B, [], **{hook: fail(KeyboardInterrupt())}))
    with pytest.raises(KeyboardInterrupt):
        async with open_system(tree, on_crash=crashes.append):
            pass
    assert crashes == []


async def test_a_cancelled_handler_is_no_crash(autojump_clock: MockClock) -> None:
    """Cancelled goes its own way: a handler's own scopes work as anywhere, and a kill is told as a kill."""
    log: list[str] = []

    async def bounded(me: Notebook) -> None:
        with trio.move_on_after(1):
            await trio.sleep_forever()
        me.log.append("went on")

    async with open_system(Supervisor(notebook(A, log))) as system:
        await system.ref(A).ask(Get(bounded))
        assert system.statistics().crashes == 0
    assert log == ["start a", "went on", "stop a"]


async def test_systems_in_systems(autojump_clock: MockClock) -> None:
    """A system may live in the body of another; each ends with its own block."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log)), name="outer") as outer:
        async with open_system(Supervisor(notebook(A, log)), name="inner") as inner:
            assert isinstance(inner, System)
            assert await inner.ref(A).ask(Slow(1)) == 1
        assert await outer.ref(A).ask(Slow(1)) == 1
    assert log == ["start a", "start a", "stop a", "stop a"]


async def test_what_the_body_raises_comes_out_as_it_was(autojump_clock: MockClock) -> None:
    """A group stays a group, and an error keeps what it was raised from and over."""
    with pytest.raises(ExceptionGroup) as grouped:
        async with open_system(Supervisor(notebook(A, []))):
            raise ExceptionGroup("several", [ValueError("one")])
    assert repr(grouped.value) == "ExceptionGroup('several', [ValueError('one')])"
    with pytest.raises(ValueError, match="over another") as raised:  # noqa: PT012 - the block is what fails
        async with open_system(Supervisor(notebook(A, []))):
            try:
                raise OSError("first")
            except OSError:
                raise ValueError("over another")  # noqa: B904 - that is what it is about
    assert repr(raised.value.__context__) == "OSError('first')"
    assert not raised.value.__suppress_context__


@pytest.mark.parametrize("hook", ["handler", "at_start", "at_stop", "at_end"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_interrupt_ends_the_program_and_is_nobodys_crash(
    autojump_clock: MockClock, kind: type[BaseException], hook: str
) -> None:
    """From wherever an actor raises it: it comes out as it is, is reported as no crash, and leaves nothing behind."""
    crashes: list[str] = []
    before = living()
    hooks: dict[str, Any] = {} if hook == "handler" else {hook: fail(kind())}
    inner = Supervisor(notebook(B, [], shutdown=1, **hooks), name="inner")
    with pytest.raises(kind):  # noqa: PT012 - the block is what fails
        async with open_system(
            Supervisor(notebook(A, []), inner),
            on_crash=lambda crash: crashes.append(type(crash.error).__name__),
            on_dead_letter=unread,
        ) as system:
            if hook in ("handler", "at_end"):
                system.ref(B).tell(Do(fail(kind()) if hook == "handler" else nap(100)))
                await trio.testing.wait_all_tasks_blocked()
                system.ref(B).tell(Note("left"))
            if hook == "handler":
                await trio.sleep_forever()
    assert set(crashes) <= {"Killed"}
    assert living() == before


async def test_one_of_many_that_is_wedged_holds_up_none_of_the_others(autojump_clock: MockClock) -> None:
    """A thousand children of a dynamic supervisor stop at once, and in the time of the slowest."""
    release = trio.Event()
    children = Name[Spawner]("children")
    log: list[str] = []
    async with trio.open_nursery() as nursery:

        async def let_go() -> None:
            await trio.sleep(10)
            assert log.count("stop n") == 999
            release.set()

        async with open_system(Supervisor(Dynamic(children)), on_crash=quiet) as system:
            for number in range(1000):
                name = Name[Notes](f"n{number}")
                spec = child(name, lambda: Notebook(log, "n", at_stop=nap(1)), shutdown=2)
                ref = await system.ref(children).ask(Spawn(spec))
            ref.tell(Do(lambda me: ignore_cancels_until(release)))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(let_go)
    assert trio.current_time() == pytest.approx(10)


async def test_who_crashes_while_it_stops_is_not_started_again(autojump_clock: MockClock) -> None:
    """What was queued behind is undelivered, and the others stop as if nothing were."""
    log: list[str] = []
    left: list[Any] = []
    async with open_system(
        Supervisor(notebook(A, log), notebook(B, log, at_end=left.extend)), on_crash=quiet, on_dead_letter=unread
    ) as system:
        for message in (Note("1"), Boom(), Note("2")):
            system.ref(B).tell(message)
        system.stop()
    assert log == ["start a", "start b", "1", "stop a"]
    assert left == [Note("2")]


async def test_a_watcher_that_stops_later_hears_of_those_that_stop_before_it(autojump_clock: MockClock) -> None:
    """Each has ended for good at its own stop, not only when all have."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log), notebook(B, log, at_stop=nap(1)), notebook(C, log))
    async with open_system(tree) as system:
        await system.ref(A).ask(Get(lambda me: me.ctx.watch(me.ctx.ref(C), Down)))
    assert log == ["start a", "start b", "start c", "stop c", "down stopped", "stop b", "stop a"]


async def test_a_system_within_a_handler_drains_when_the_handler_is_cut(autojump_clock: MockClock) -> None:
    """Its actors stop in order; within the moment that a cut actor is given, or else that one counts as wedged."""
    for drain, told in ((0.5, []), (50.0, ["Wedged"])):
        log: list[str] = []
        crashes: list[str] = []

        async def inner(me: Notebook, drain: float = drain, log: list[str] = log) -> None:
            tree = Supervisor(notebook(B, log, shutdown=100), notebook(C, log), name="inner")
            async with open_system(tree, drain=drain, on_crash=quiet) as system:
                system.ref(B).tell(Do(nap(20)))
                await trio.sleep_forever()

        def hear(crash: Crash, crashes: list[str] = crashes) -> None:
            crashes.append(type(crash.error).__name__)

        async with open_system(Supervisor(notebook(A, [], shutdown=1)), on_crash=hear) as system:
            system.ref(A).tell(Do(inner))
            await trio.testing.wait_all_tasks_blocked()
        assert log[:3] == ["start b", "start c", "stop c"]
        assert [each for each in crashes if each != "Killed"] == told


async def test_an_interrupt_of_the_body_drains_in_order(autojump_clock: MockClock) -> None:
    """Ctrl-C in the program around it is no reason to lose what is queued."""
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the block is what fails
        async with open_system(Supervisor(notebook(A, log), notebook(B, log))) as system:
            system.ref(A).tell(Note("queued"))
            raise KeyboardInterrupt
    assert [line for line in log if line != "stop b"] == ["start a", "start b", "queued", "stop a"]
    assert log.index("stop b") < log.index("stop a")
