"""Supervision: who is restarted, when, in which order, and when it is too much."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from actor_kit import AT_ONCE, A, B, Boom, C, Count, Do, End, Get, Note, Notebook, fail, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorRestarted,
    ActorStopped,
    Backoff,
    Crash,
    GaveUp,
    Intensity,
    StartFailed,
    Supervisor,
    SystemFailed,
    child,
    one_for_all,
    one_for_one,
    open_system,
    permanent,
    rest_for_one,
    temporary,
    transient,
)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (one_for_one, ["start b"]),
        (rest_for_one, ["stop c", "start b", "start c"]),
        (one_for_all, ["stop c", "stop a", "start a", "start b", "start c"]),
    ],
)
async def test_strategies(autojump_clock: MockClock, strategy: str, expected: list[str]) -> None:
    """Who is restarted when b crashes, and in which order."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log), notebook(B, log), notebook(C, log), strategy=strategy)  # type: ignore[arg-type]
    async with open_system(tree, on_crash=quiet) as system:
        log.clear()
        system.ref(B).tell(Boom())
        for name in (A, B, C):
            await system.ref(name).ask(Count())
        assert log == expected
        assert (system.tree().restarts, system.tree().strategy) == (1, strategy)


async def test_siblings_keep_their_mail_over_a_restart_that_is_not_theirs(autojump_clock: MockClock) -> None:
    """one_for_all stops them at their next message; what is queued is handled by their next life, in order."""
    log: list[str] = []
    tree = Supervisor(notebook(A, []), notebook(B, log), strategy=one_for_all)
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(B).tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        for number in range(3):
            system.ref(B).tell(Note(str(number)))
        system.ref(A).tell(Boom())
        await system.ref(B).ask(Count())
    assert log == ["start b", "stop b", "start b", "0", "1", "2", "stop b"]


async def test_a_sibling_that_ends_for_good_during_a_restart_is_not_started_again(autojump_clock: MockClock) -> None:
    """It ends of itself while another one, which is busy, is stopped before it."""
    log: list[str] = []
    busy = notebook(C, [], shutdown=10)
    tree = Supervisor(notebook(A, []), notebook(B, log, restart=transient), busy, strategy=one_for_all)
    async with open_system(tree, on_crash=quiet) as system:
        gone = system.ref(B)
        system.ref(C).tell(Do(nap(1)))
        system.ref(A).tell(Boom())
        await trio.testing.wait_all_tasks_blocked()
        gone.tell(End())
        await system.ref(A).ask(Count())
        with pytest.raises(ActorStopped):
            await gone.ask(Count())
    assert log == ["start b", "stop b"]


async def test_giving_up_is_a_crash_that_tells_the_story(autojump_clock: MockClock) -> None:
    """Too many restarts end the system; the cause holds the child's last crashes, and the body is cancelled."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log), intensity=Intensity(2, 10))
    with pytest.raises(SystemFailed) as failed:  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=quiet) as system:
            for _ in range(3):
                system.ref(A).tell(Boom())
            await trio.sleep_forever()
    cause = failed.value.__cause__
    assert isinstance(cause, GaveUp)
    assert str(cause) == "supervisor/a was restarted more than 2 times in 10 s"
    assert isinstance(cause.__cause__, ExceptionGroup)
    assert [repr(each) for each in cause.__cause__.exceptions] == ["ValueError('boom')"] * 3
    notes = [note for each in cause.__cause__.exceptions for note in each.__notes__]
    assert notes[0] == "supervisor/a: life 1, over Boom, 2 queued, up 0.000 s"


async def test_nested_supervisors_give_up_one_after_the_other(autojump_clock: MockClock) -> None:
    """The inner one is restarted, children and all, until the outer one has had enough; the story goes all the way down."""
    log: list[str] = []
    crashes: list[Crash] = []
    inner = Supervisor(notebook(A, log), notebook(B, log), name="inner", intensity=Intensity(1, 10))
    tree = Supervisor(notebook(C, log), inner, intensity=Intensity(1, 10))
    with pytest.raises(SystemFailed) as failed:  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=crashes.append) as system:
            for _ in range(4):
                system.ref(A).tell(Boom())
            await trio.sleep_forever()
    assert [crash.path.rpartition("/")[2] for crash in crashes] == ["a", "a", "inner", "a", "a", "inner", "supervisor"]
    assert str(failed.value) == "supervisor failed: supervisor/inner was restarted more than 1 times in 10 s"
    outer = failed.value.__cause__
    assert outer is not None
    assert isinstance(outer.__cause__, ExceptionGroup)
    gave_up = outer.__cause__.exceptions
    assert [type(each) for each in gave_up] == [GaveUp, GaveUp]
    assert isinstance(gave_up[0].__cause__, ExceptionGroup)
    assert [type(each) for each in gave_up[0].__cause__.exceptions] == [ValueError, ValueError]
    assert log == [
        "start c", "start a", "start b", "start a", "stop b",
        "start a", "start b", "start a", "stop b",
        "stop c",
    ]  # fmt: skip


async def test_a_supervisor_that_gave_up_starts_with_a_clean_sheet(autojump_clock: MockClock) -> None:
    """Its window is empty again after its own restart; its children find their mail where it was."""
    log: list[str] = []
    inner = Supervisor(notebook(A, log), name="inner", intensity=Intensity(1, 10))
    async with open_system(Supervisor(inner), on_crash=quiet) as system:
        for _ in range(3):
            system.ref(A).tell(Boom())
        system.ref(A).tell(Note("kept"))
        await system.ref(A).ask(Count())
        assert system.tree().supervisors[0].restarts_left == 0
        assert system.tree().restarts == 1
    assert log == ["start a"] * 4 + ["kept", "stop a"]


async def test_a_supervisor_that_is_restarted_has_its_temporary_children_again(autojump_clock: MockClock) -> None:
    """Those that had not ended: it is the supervisor that begins anew. One that has ended does not come back."""
    log: list[str] = []
    inner = Supervisor(
        notebook(A, log, restart=temporary), notebook(B, log, restart=temporary), notebook(C, log),
        name="inner", intensity=Intensity(1, 10),
    )  # fmt: skip
    async with open_system(Supervisor(inner), on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        await system.ref(A).wait_stopped()
        for _ in range(2):
            system.ref(C).tell(Boom())
        await system.ref(C).ask(Count())
        assert [each.path for each in system.tree().supervisors[0].actors] == [
            "supervisor/inner/b",
            "supervisor/inner/c",
        ]
    assert log == ["start a", "start b", "start c", "start c", "stop b", "start b", "start c", "stop c", "stop b"]


async def test_a_child_may_have_a_limit_of_its_own(autojump_clock: MockClock) -> None:
    """One that crashes too often for itself brings the supervisor to give up, whatever that would still bear."""
    tree = Supervisor(notebook(A, [], intensity=Intensity(1, 5)), notebook(B, []), intensity=Intensity(100, 1))
    with pytest.raises(SystemFailed, match="supervisor/a was restarted more than 1 times in 5 s"):  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=quiet) as system:
            for _ in range(5):
                system.ref(B).tell(Boom())
            await system.ref(B).ask(Count())
            system.ref(A).tell(Boom())
            await trio.sleep(6)
            system.ref(A).tell(Boom())
            await system.ref(A).ask(Count())
            system.ref(A).tell(Boom())
            await trio.sleep_forever()


async def test_the_window_of_restarts_slides(autojump_clock: MockClock) -> None:
    """What lies further back than the window does not count."""
    tree = Supervisor(notebook(A, []), intensity=Intensity(1, 5))
    async with open_system(tree, on_crash=quiet) as system:
        for _ in range(4):
            system.ref(A).tell(Boom())
            await system.ref(A).ask(Count())
            assert system.tree().restarts_left == 0
            await trio.sleep(5.1)
            assert system.tree().restarts_left == 1
    assert system.tree().restarts == 4


async def _starts(backoff: Backoff, *sleeps: float) -> list[float]:
    """Times between the starts of an actor that crashes after each of these sleeps."""
    starts: list[float] = []
    tree = Supervisor(
        notebook(A, [], at_start=lambda me: starts.append(trio.current_time()), backoff=backoff),
        intensity=Intensity(100, 1),
    )
    async with open_system(tree, on_crash=quiet, seed=1) as system:
        for seconds in sleeps:
            await trio.sleep(seconds)
            system.ref(A).tell(Boom())
            await system.ref(A).ask(Count(), within=100)
    return [round(later - earlier, 6) for earlier, later in pairwise(starts)]


async def test_backoff_keeps_to_its_golden_schedule(autojump_clock: MockClock) -> None:
    """1, 2, 4, 4 seconds between restarts, to the point, under a virtual clock."""
    assert await _starts(Backoff(first_s=1, factor=2, cap_s=4, jitter=0), 0, 0, 0, 0) == [1, 2, 4, 4]


async def test_backoff_begins_anew_after_a_healthy_time(autojump_clock: MockClock) -> None:
    """Up for more than reset_after_s, an actor is taken for healthy."""
    backoff = Backoff(first_s=1, factor=3, cap_s=100, jitter=0, reset_after_s=10)
    assert await _starts(backoff, 0, 0, 0, 11, 10) == [1, 3, 9, 12, 13]


async def test_backoff_is_jittered_by_the_seed(autojump_clock: MockClock) -> None:
    """Within its share to both sides, not twice the same, and the same again with the same seed."""
    backoff = Backoff(first_s=1, factor=1, jitter=0.5)
    waits = await _starts(backoff, 0, 0, 0, 0)
    assert all(0.5 <= wait <= 1.5 for wait in waits)
    assert len(set(waits)) == 4
    assert await _starts(backoff, 0, 0, 0, 0) == waits


async def test_a_start_that_fails_counts_on_in_the_backoff(autojump_clock: MockClock) -> None:
    """Each failed start is a crash in a row, and health begins only once the actor is ready."""
    starts: list[float] = []

    def fail_thrice(me: Notebook) -> None:
        starts.append(trio.current_time())
        if 1 < len(starts) < 5:
            raise OSError("not yet")

    tree = Supervisor(notebook(A, [], at_start=fail_thrice, backoff=Backoff(first_s=1, jitter=0)))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        await system.ref(A).ask(Count(), within=100)
    assert starts == [0, 1, 3, 7, 15]


async def test_a_temporary_child_harms_nobody_and_a_transient_one_may_end(autojump_clock: MockClock) -> None:
    """A temporary crash is reported only; an orderly end of a transient child is not restarted."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log, restart=temporary), notebook(B, log, restart=transient), notebook(C, log))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        system.ref(B).tell(End())
        assert (await system.ref(A).wait_stopped()).reason == "crashed"
        assert (await system.ref(B).wait_stopped()).reason == "stopped"
        assert await system.ref(C).ask(Count()) > 0
    assert log.count("start a") == log.count("start b") == 1


@pytest.mark.parametrize("strategy", [one_for_all, rest_for_one])
async def test_a_temporary_child_is_not_brought_back_with_its_siblings(
    autojump_clock: MockClock, strategy: str
) -> None:
    """Never restarted means never: the restart of the others ends it, and its queue becomes dead letters."""
    log: list[str] = []
    tree = Supervisor(
        notebook(A, log), notebook(B, log, restart=temporary), notebook(C, log, restart=transient),
        strategy=strategy,  # type: ignore[arg-type]
    )  # fmt: skip
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        assert (await system.ref(B).wait_stopped()).reason == "stopped"
        await system.ref(C).ask(Count())
        assert [each.path for each in system.tree().actors] == ["supervisor/a", "supervisor/c"]
    assert log == ["start a", "start b", "start c", "stop c", "stop b", "start a", "start c", "stop c", "stop a"]


async def test_a_transient_child_that_crashes_while_it_ends_works_on(autojump_clock: MockClock) -> None:
    """It wanted to stop, and crashed over what was queued: its next life takes messages as any other does."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log, restart=transient, backoff=AT_ONCE))
    async with open_system(tree, on_crash=quiet) as system:
        ref = system.ref(A)
        ref.tell(End())
        ref.tell(Boom())
        ref.tell(Note("queued"))
        while log.count("start a") < 2:
            await trio.lowlevel.checkpoint()
        assert await ref.ask(Count()) == 3
        await ref.put(Note("new"))
        ref.tell(End())
        assert (await ref.wait_stopped()).reason == "stopped"
    assert log == ["start a", "start a", "queued", "new", "stop a"]


async def test_a_permanent_child_that_stops_itself_is_started_again(autojump_clock: MockClock) -> None:
    """Once per stop, and what was queued is handled by the next life."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, restart=permanent))) as system:
        system.ref(A).tell(End())
        system.ref(A).tell(Note("queued"))
        await system.ref(A).ask(Count())
        assert log == ["start a", "stop a", "start a", "queued"]
        assert system.tree().actors[0].restarts == 1


async def test_children_start_one_after_the_other(autojump_clock: MockClock) -> None:
    """Each start waits until the one before is ready, however long that takes."""
    log: list[str] = []

    async def slowly(me: Notebook) -> None:
        await trio.sleep(3)

    async with open_system(Supervisor(notebook(A, log, at_start=slowly), notebook(B, log))):
        assert log == ["start a", "start b"]
        assert trio.current_time() == pytest.approx(3)


async def test_a_child_that_is_not_ready_in_time_fails_the_start(autojump_clock: MockClock) -> None:
    """open_system raises, and what had started is stopped, in order."""
    log: list[str] = []

    async def slowly(me: Notebook) -> None:
        await trio.sleep(100)

    late = Supervisor(notebook(C, log), name="late")
    tree = Supervisor(notebook(A, log), notebook(B, log, at_start=slowly, start_within=1), late)
    with pytest.raises(SystemFailed, match="supervisor/b did not start") as failed:
        async with open_system(tree, on_crash=quiet):
            pytest.fail("the body must not run")
    start_failed = failed.value.__cause__
    assert isinstance(start_failed, StartFailed)
    assert str(start_failed.__cause__) == "supervisor/b was not ready within 1 s"
    assert log == ["start a", "stop a"]


@pytest.mark.parametrize("where", ["make", "started"])
async def test_a_first_start_that_fails_is_not_tried_again(autojump_clock: MockClock, where: str) -> None:
    """Whoever starts a tree hears at once what is wrong with it; there is no zombie left."""
    log: list[str] = []

    def make() -> Notebook:
        if where == "make":
            raise OSError("no such table")
        return Notebook(log, at_start=fail(OSError("no such table")))

    with pytest.raises(SystemFailed) as failed:
        async with open_system(Supervisor(child(A, make)), on_crash=quiet):
            pytest.fail("the body must not run")
    assert failed.value.__cause__ is not None
    assert repr(failed.value.__cause__.__cause__) == "OSError('no such table')"
    assert log == []


async def test_a_failed_restart_brings_up_the_rest_in_order_once_it_succeeds(autojump_clock: MockClock) -> None:
    """rest_for_one: b crashes and fails to start again; c stays down meanwhile, and starts once, after b."""
    log: list[str] = []
    failures = ["first", "second"]

    def shakily(me: Notebook) -> None:
        if "start b" in log and failures:
            failures.pop()
            raise OSError("not yet")

    tree = Supervisor(notebook(B, log, at_start=shakily), notebook(C, log, restart=transient), strategy=rest_for_one)
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(B).tell(Boom())
        while log.count("start c") < 2:
            await trio.lowlevel.checkpoint()
        assert log == ["start b", "start c", "stop c", "start b", "start c"]


async def test_a_child_does_not_come_back_before_the_one_it_depends_on(autojump_clock: MockClock) -> None:
    """rest_for_one: c crashes while b is down and waits for its restart; c starts after b, once, though it could earlier."""
    log: list[str] = []
    tree = Supervisor(notebook(B, log, backoff=Backoff(first_s=10, jitter=0)), notebook(C, log), strategy=rest_for_one)
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(B).tell(Boom())
        system.ref(C).tell(Boom())
        await trio.sleep(9)
        assert log == ["start b", "start c"]
        await trio.sleep(2)
        assert log == ["start b", "start c", "start b", "start c"]


async def test_a_crash_report_says_what_is_needed(autojump_clock: MockClock) -> None:
    """Where, over what, how much is queued, which life, how long it was up; and the error has a note with all that."""
    crashes: list[Crash] = []
    async with open_system(Supervisor(notebook(A, [])), on_crash=crashes.append) as system:
        await trio.sleep(7)
        system.ref(A).tell(Boom())
        system.ref(A).tell(Note("x"))
        with pytest.raises(ActorRestarted):
            await system.ref(A).ask(Get(fail(OSError("disk"))))
    first, second = crashes
    assert (first.path, first.message_type, first.queued, first.life, first.uptime_s) == (
        "supervisor/a",
        "Boom",
        2,
        1,
        7,
    )
    assert (second.message_type, second.life, second.queued) == ("Get", 2, 0)
    assert second.error.__notes__ == ["supervisor/a: life 2, over Get, 0 queued, up 0.000 s"]


async def test_a_supervisor_does_not_let_an_actor_live_twice(autojump_clock: MockClock) -> None:
    """A sibling that ignores its cancellation cannot be restarted: the supervisor gives up, and the body ends at once."""
    release = trio.Event()

    async def ignore(me: Notebook) -> None:
        with trio.CancelScope(shield=True):
            await release.wait()

    log: list[str] = []
    crashes: list[str] = []
    tree = Supervisor(notebook(A, log), notebook(B, log, shutdown=1), strategy=one_for_all)

    async def let_go() -> None:
        await trio.sleep(60)
        release.set()

    def hear(crash: Crash) -> None:
        crashes.append(f"{crash.path} {type(crash.error).__name__}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(let_go)
        with pytest.raises(SystemFailed, match="supervisor/b did not stop, and must not live twice"):  # noqa: PT012 - the block is what fails
            async with open_system(tree, on_crash=hear, on_dead_letter=unread) as system:
                system.ref(B).tell(Do(ignore))
                await trio.testing.wait_all_tasks_blocked()
                system.ref(A).tell(Boom())
                try:
                    await trio.sleep_forever()
                finally:
                    assert trio.current_time() == pytest.approx(2)
    assert crashes == ["supervisor/a ValueError", "supervisor/b Wedged", "supervisor GaveUp"]
    assert log == ["start a", "start b"]


@pytest.mark.parametrize("strategy", [one_for_one, one_for_all, rest_for_one])
async def test_a_crash_while_later_siblings_start_makes_nobody_live_twice(
    autojump_clock: MockClock, strategy: str
) -> None:
    """The first start comes to its end before the crash brings the siblings down and up again, in order."""
    log: list[str] = []

    async def start(me: Notebook) -> None:
        await trio.sleep(1 if me.name == "a" else 3)
        if me.name == "a" and log == []:
            me.ctx.after(1, Boom())

    tree = Supervisor(*[notebook(name, log, at_start=start) for name in (A, B, C)], strategy=strategy)  # type: ignore[arg-type]
    async with open_system(tree, on_crash=quiet) as system:
        await trio.sleep(20)
        once, again = ["start a", "start b", "start c"], ["stop c", "stop b", "start a", "start b", "start c"]
        assert log == (["start a", *once] if strategy == one_for_one else once + again)
        assert [each.life for each in system.tree().actors] == ([2, 1, 1] if strategy == one_for_one else [2, 2, 2])


async def test_a_life_that_works_beside_a_crash_is_the_only_one(autojump_clock: MockClock) -> None:
    """Two siblings that crash in the same moment under one_for_all are both started once more, together."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log), notebook(B, log), strategy=one_for_all, intensity=Intensity(100, 1))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        system.ref(B).tell(Boom())
        await trio.sleep(1)
        await system.ref(A).ask(Count())
        assert log == ["start a", "start b", "start a", "start b"]


def _three_levels(log: list[str], *restarts: int) -> Supervisor:
    tree: Supervisor | None = None
    for level, most in zip(("third", "second", "first"), restarts, strict=True):
        inner = notebook(A, log) if tree is None else tree
        tree = Supervisor(inner, intensity=Intensity(most, 10), name=level)
    assert tree is not None
    return tree


async def test_a_failure_goes_up_as_far_as_somebody_bears_it(autojump_clock: MockClock) -> None:
    """Two levels give up, the third starts all below it again; what was queued is handled."""
    log: list[str] = []
    crashes: list[str] = []
    tree = _three_levels(log, 0, 0, 1)
    async with open_system(tree, on_crash=lambda crash: crashes.append(crash.path)) as system:
        for text in ("1", None, "2"):
            system.ref(A).tell(Boom() if text is None else Note(text))
        assert await system.ref(A).ask(Count()) == 4
    assert crashes == ["first/second/third/a", "first/second/third", "first/second"]
    assert log == ["start a", "1", "start a", "2", "stop a"]


async def test_a_failure_that_nobody_bears_comes_out_with_its_whole_story(autojump_clock: MockClock) -> None:
    """From the root's failure, cause by cause, down to what the actor raised."""
    with pytest.raises(SystemFailed) as failed:  # noqa: PT012 - the block is what fails
        async with open_system(_three_levels([], 0, 0, 0), on_crash=quiet) as system:
            system.ref(A).tell(Boom())
            await trio.sleep_forever()
    causes: list[str] = []
    error: BaseException | None = failed.value
    while error is not None:
        causes.append(type(error).__name__)
        error = error.exceptions[0] if isinstance(error, ExceptionGroup) else error.__cause__
    assert causes == ["SystemFailed", *["GaveUp", "ExceptionGroup"] * 3, "ValueError"]


async def test_a_start_that_makes_nothing_of_its_deadline_fails(autojump_clock: MockClock) -> None:
    """Also if it swallows its cancellation and returns."""

    async def stubbornly(me: Notebook) -> None:
        try:
            await trio.sleep(100)
        except trio.Cancelled:
            me.log.append("never mind")  # and not raised again, as it should be

    log: list[str] = []
    with pytest.raises(SystemFailed, match="supervisor/a did not start"):
        async with open_system(Supervisor(notebook(A, log, at_start=stubbornly, start_within=1)), on_crash=quiet):
            pytest.fail("the body must not run")
    assert log == ["never mind", "start a"]
    assert trio.current_time() == pytest.approx(1)
