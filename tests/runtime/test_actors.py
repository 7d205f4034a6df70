"""Actors: messages, asks, crashes, order."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from etlplus.runtime import (
    Actor,
    ActorRestarted,
    ActorStopped,
    Ask,
    AskCycle,
    AskTimeout,
    Backoff,
    Child,
    Crash,
    Dynamic,
    Exit,
    Intensity,
    Mailbox,
    MailboxFull,
    Name,
    Refuse,
    Spawn,
    Spawner,
    StartFailed,
    Supervisor,
    SystemFailed,
    Tell,
    child,
    one_for_all,
    one_for_one,
    open_system,
    rest_for_one,
    temporary,
    transient,
)


class Notes:
    """Address of an actor that notes what it hears."""


class Note(Tell[Notes]):
    text: str


class Boom(Tell[Notes]):
    pass


class BoomAsk(Ask[Notes, int]):
    pass


class Count(Ask[Notes, int]):
    pass


class Slow(Ask[Notes, int]):
    seconds: float


class No(Ask[Notes, int]):
    pass


class Via(Ask[Notes, int]):
    name: str


class End(Tell[Notes]):
    pass


class Piped(Tell[Notes]):
    text: str


class Down(Tell[Notes]):
    exit: Exit


class Notebook(Actor[Notes]):
    """Writes what happens to it into a list that outlives it."""

    def __init__(self, log: list[str], name: str = "a", start: float = 0.0) -> None:
        self._log = log
        self._name = name
        self._start = start

    async def started(self) -> None:
        await trio.sleep(self._start)
        self._log.append(f"start {self._name}")

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        self._log.append(f"stop {self._name}")

    @Note.handler
    def note(self, message: Note) -> None:
        self._log.append(message.text)

    @Piped.handler
    def piped(self, message: Piped) -> None:
        self._log.append(message.text)

    @Boom.handler
    def boom(self, message: Boom) -> None:
        raise ValueError("boom")

    @BoomAsk.handler
    async def boom_ask(self, message: BoomAsk) -> int:
        raise ValueError("boom")

    @Count.handler
    def count(self, message: Count) -> int:
        return len(self._log)

    @Slow.handler
    async def slow(self, message: Slow) -> int:
        await trio.sleep(message.seconds)
        return 1

    @No.handler
    def no(self, message: No) -> int:
        raise Refuse("not today")

    @Via.handler
    async def via(self, message: Via) -> int:
        return await self.ctx.ref(Name[Notes](message.name)).ask(Via("a"))

    @End.handler
    def end(self, message: End) -> None:
        self.ctx.stop()

    @Down.handler
    def down(self, message: Down) -> None:
        self._log.append(f"down {message.exit.reason}")


A, B, C = Name[Notes]("a"), Name[Notes]("b"), Name[Notes]("c")
AT_ONCE = Backoff(first_s=0, jitter=0)


def notebook(name: Name[Notes], log: list[str], **options: object) -> Child[Notes]:
    return child(name, lambda: Notebook(log, name.value), backoff=AT_ONCE, **options)  # type: ignore[arg-type]


def quiet(crash: Crash) -> None:
    """Crashes are expected here."""


async def test_messages_arrive_in_order_and_across_a_crash(autojump_clock: MockClock) -> None:
    """FIFO per sender; what was queued when the actor crashed is handled by its next life, after it has started."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log)), on_crash=quiet) as system:
        ref = system.ref(A)
        ref.tell(Note("1"))
        ref.tell(Boom())
        ref.tell(Note("2"))
        ref.tell(Note("3"))
        await ref.ask(Count())
    assert log == ["start a", "1", "start a", "2", "3", "stop a"]


async def test_every_ask_ends(autojump_clock: MockClock) -> None:
    """By its answer, a refusal, a crash, its deadline, or the end of the actor."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log)), on_crash=quiet) as system:
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


async def test_an_ask_that_nobody_waits_for_is_shed(autojump_clock: MockClock) -> None:
    """Work for an asker that has left is not done."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        ref = system.ref(A)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.ask, Slow(3))
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(AskTimeout):
                await ref.ask(Count(), within=1)
        await ref.ask(Count())
        snapshot = system.tree().actors[0]
    assert snapshot.shed == 1
    assert (
        snapshot.sent == snapshot.handled + snapshot.shed + snapshot.rejected + snapshot.undelivered + snapshot.queued
    )


async def test_a_full_mailbox_says_so_and_put_waits(autojump_clock: MockClock) -> None:
    """tell raises, put waits for room, nothing is lost silently."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(4)))) as system:
        ref = system.ref(A)
        for number in range(5):  # the first goes straight to the actor, which waits
            ref.tell(Note(str(number)))
        with pytest.raises(MailboxFull):
            ref.tell(Note("too much"))
        for number in range(20):
            await ref.put(Note(f"p{number}"))
        await ref.ask(Count())
        snapshot = system.tree().actors[0]
    assert snapshot.rejected == 1
    assert log[1:6] == ["0", "1", "2", "3", "4"]
    assert [text for text in log if text.startswith("p")] == [f"p{number}" for number in range(20)]


async def test_a_cycle_of_asks_is_refused_with_its_path(autojump_clock: MockClock) -> None:
    """a asks b, b asks a: refused before anybody waits."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log), notebook(B, log)), on_crash=quiet) as system:
        with pytest.raises(ActorRestarted) as refused:
            await system.ref(A).ask(Via("b"))
    story = repr(refused.value.__cause__)
    assert "ActorRestarted" in story or "AskCycle" in story
    assert AskCycle(["a", "b"]).path == ["a", "b"]


async def test_children_stop_in_exactly_the_reverse_of_their_start(autojump_clock: MockClock) -> None:
    """Start order a, b, c; stop order c, b, a; each start waits for the one before to be ready."""
    log: list[str] = []
    inner = Supervisor(notebook(B, log), name="inner")
    async with open_system(Supervisor(notebook(A, log), inner, notebook(C, log))):
        assert log == ["start a", "start b", "start c"]
    assert log[3:] == ["stop c", "stop b", "stop a"]


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
    assert cause is not None
    assert "more than 2 times" in str(cause)
    assert isinstance(cause.__cause__, ExceptionGroup)
    assert len(cause.__cause__.exceptions) == 3


async def test_backoff_keeps_to_its_golden_schedule(autojump_clock: MockClock) -> None:
    """1, 2, 4, 4 seconds between restarts, to the point, under a virtual clock."""
    starts: list[float] = []

    class Hopeless(Notebook):
        async def started(self) -> None:
            starts.append(trio.current_time())

    backoff = Backoff(first_s=1, factor=2, cap_s=4, jitter=0)
    tree = Supervisor(child(A, lambda: Hopeless([]), backoff=backoff), intensity=Intensity(100, 1))
    async with open_system(tree, on_crash=quiet) as system:
        for _ in range(4):
            system.ref(A).tell(Boom())
        await trio.sleep(100)
    assert [round(later - earlier, 6) for earlier, later in pairwise(starts)] == [1, 2, 4, 4]


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


async def test_a_child_that_is_not_ready_in_time_fails_the_start(autojump_clock: MockClock) -> None:
    """open_system raises, and what had started is stopped."""
    log: list[str] = []
    late = Supervisor(notebook(C, log), name="late")
    tree = Supervisor(notebook(A, log), child(B, lambda: Notebook(log, "b", start=100), start_within=1), late)
    with pytest.raises(SystemFailed) as failed:
        async with open_system(tree, on_crash=quiet):
            pytest.fail("the body must not run")
    assert isinstance(failed.value.__cause__, StartFailed)
    assert log == ["start a", "stop a"]


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


async def test_a_stop_that_takes_too_long_is_cut_at_its_budget(autojump_clock: MockClock) -> None:
    """A handler that does not come to an end is cancelled after its child's budget."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, shutdown=2))) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_slow, system.ref(A))
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        began = trio.current_time()
    assert trio.current_time() - began <= 4


async def _ask_slow(ref: object) -> None:
    await ref.ask(Slow(1000), within=2000)  # type: ignore[attr-defined]


async def test_timers_and_piped_work_end_with_their_life(autojump_clock: MockClock) -> None:
    """A tick of an earlier life never reaches the next one; piped results come back as messages."""
    log: list[str] = []

    class Timed(Notebook):
        async def started(self) -> None:
            await super().started()
            self.ctx.after(5, Note("tick"), key="t")
            self.ctx.after(10, Note("tock"), key="t")

            async def work() -> str:
                await trio.sleep(1)
                return "done"

            self.ctx.pipe(work(), Piped, lambda error: Piped(repr(error)))

    tree = Supervisor(child(A, lambda: Timed(log), backoff=AT_ONCE))
    async with open_system(tree, on_crash=quiet) as system:
        await trio.sleep(2)
        system.ref(A).tell(Boom())
        await trio.sleep(9)
        assert log == ["start a", "done", "start a", "done"]
        await trio.sleep(2)
        assert log[-1] == "tock"


async def test_watchers_hear_of_the_end_once(autojump_clock: MockClock) -> None:
    """Not of restarts, only of the final end; at once if it has come."""
    log: list[str] = []

    class Watcher(Notebook):
        async def started(self) -> None:
            await super().started()
            self.ctx.watch(self.ctx.ref(A), Down)

    tree = Supervisor(notebook(A, [], restart=transient), child(B, lambda: Watcher(log, "b")))
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        await system.ref(B).ask(Count())
        assert log == ["start b", "down stopped"]


async def test_children_can_be_added_while_it_runs(autojump_clock: MockClock) -> None:
    """A dynamic supervisor answers with a ready child; a second one of the name is refused."""
    log: list[str] = []
    pool = Name[Spawner]("pool")
    async with open_system(Supervisor(Dynamic(pool)), on_crash=quiet) as system:
        ref = await system.ref(pool).ask(Spawn(notebook(A, log)))
        assert await ref.ask(Count()) == 1
        with pytest.raises(ValueError, match="two actors"):
            await system.ref(pool).ask(Spawn(notebook(A, log)))
        ref.tell(Boom())
        assert await ref.ask(Count()) == 2
    assert log == ["start a", "start a", "stop a"]


async def test_keyboard_interrupt_is_no_crash(autojump_clock: MockClock) -> None:
    """It goes through the tree to the program, untouched."""

    class Interrupted(Notebook):
        @Boom.handler
        def boom(self, message: Boom) -> None:
            raise KeyboardInterrupt

    crashes: list[str] = []
    with pytest.raises(BaseException) as raised:  # noqa: PT012 - a group or the interrupt itself, looked at below
        async with open_system(
            Supervisor(child(A, lambda: Interrupted([]))), on_crash=lambda crash: crashes.append(crash.path)
        ) as system:
            system.ref(A).tell(Boom())
            await trio.sleep(10)
    assert "KeyboardInterrupt" in repr(raised.value)
    assert crashes == []


async def test_a_failed_restart_brings_up_the_rest_in_order_once_it_succeeds(autojump_clock: MockClock) -> None:
    """rest_for_one: b crashes and fails to start again; c stays down meanwhile, and starts once, after b."""
    log: list[str] = []
    failures = ["first", "second"]

    class Shaky(Notebook):
        async def started(self) -> None:
            if "start b" in log and failures:
                failures.pop()
                raise OSError("not yet")
            await super().started()

    tree = Supervisor(
        child(B, lambda: Shaky(log, "b"), backoff=AT_ONCE), notebook(C, log, restart=transient), strategy=rest_for_one
    )
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(B).tell(Boom())
        while log.count("start c") < 2:
            await trio.lowlevel.checkpoint()
        assert log == ["start b", "start c", "stop c", "start b", "start c"]


async def test_timers_take_nobodys_place_in_the_mailbox(autojump_clock: MockClock) -> None:
    """However often a timer ticks while a handler is busy, senders find all the room they were promised."""
    log: list[str] = []

    class Ticking(Notebook):
        async def started(self) -> None:
            self.ctx.every(0.01, Note("tick"))

    async with open_system(Supervisor(child(A, lambda: Ticking(log), mailbox=Mailbox(4)))) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_slow_for, system.ref(A), 1.0)
            await trio.sleep(0.9)
            for number in range(4):
                system.ref(A).tell(Note(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        await system.ref(A).ask(Count())
    assert [text for text in log if text != "tick"] == ["0", "1", "2", "3", "stop a"]


async def _ask_slow_for(ref: object, seconds: float) -> None:
    await ref.ask(Slow(seconds))  # type: ignore[attr-defined]


async def test_what_a_life_told_itself_ends_with_it(autojump_clock: MockClock) -> None:
    """A tick that was due when the actor crashed is not heard by the next life; counts add up all the same."""
    log: list[str] = []

    class Busy(Notebook):
        async def started(self) -> None:
            await super().started()
            if log == ["start a"]:
                self.ctx.after(1, Note("tick of the first life"))

        @Slow.handler
        async def slow(self, message: Slow) -> int:
            await trio.sleep(message.seconds)
            raise ValueError("boom")

    tree = Supervisor(child(A, lambda: Busy(log), backoff=AT_ONCE))
    async with open_system(tree, on_crash=quiet) as system:
        with pytest.raises(ActorRestarted):
            await system.ref(A).ask(Slow(2))
        await system.ref(A).ask(Count())
        snapshot = system.tree().actors[0]
    assert log == ["start a", "start a", "stop a"]
    assert (
        snapshot.sent == snapshot.handled + snapshot.shed + snapshot.rejected + snapshot.undelivered + snapshot.queued
    )


async def test_a_permanent_child_that_stops_itself_is_started_again(autojump_clock: MockClock) -> None:
    """Once per stop, and the name of a dynamic child that has ended is free again."""
    log: list[str] = []
    pool = Name[Spawner]("pool")
    async with open_system(Supervisor(notebook(A, log), Dynamic(pool)), on_crash=quiet) as system:
        system.ref(A).tell(End())
        while log.count("start a") < 2:
            await trio.lowlevel.checkpoint()
        await system.ref(A).ask(Count())
        assert log == ["start a", "stop a", "start a"]
        for _ in range(2):
            ref = await system.ref(pool).ask(Spawn(notebook(B, log, restart=temporary)))
            ref.tell(End())
            await ref.wait_stopped()
