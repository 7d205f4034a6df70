"""Messages: order, who may get what, and what a handler may raise."""

from __future__ import annotations

import pytest
import trio
from actor_kit import AT_ONCE, A, B, Boom, C, Count, Do, Get, Note, Notebook, Notes, fail, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    Actor,
    ActorRestarted,
    Ask,
    Crash,
    Name,
    Refuse,
    Supervisor,
    SystemFailed,
    Tell,
    Unhandled,
    child,
    open_system,
    temporary,
)


class Strays:
    """Address of nobody here."""


class Stray(Tell[Strays]):
    pass


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


async def test_long_slices_keep_the_order(autojump_clock: MockClock) -> None:
    """Two hundred messages fill more than one slice, and come in the order in which they were told, own ones first."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        for number in range(200):
            system.ref(A).tell(Note(str(number)))
        await system.ref(A).ask(Count())
    assert log[1:-1] == [str(number) for number in range(200)]


async def test_a_slice_lets_others_run(autojump_clock: MockClock) -> None:
    """An actor with thousands of messages queued does not keep other tasks waiting until it is through."""
    log: list[str] = []
    seen: list[int] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        for number in range(1000):
            system.ref(A).tell(Note(str(number)))
        while len(log) < 1001:
            await trio.lowlevel.checkpoint()
            seen.append(len(log))
    assert len(seen) >= 1000 // 64


async def test_an_ask_may_be_told_and_its_answer_is_nobodys(autojump_clock: MockClock) -> None:
    """tell takes asks, too: they are handled, and counted like tells."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        system.ref(A).tell(Get(lambda me: me.log.append("got")))
        await system.ref(A).ask(Count())
        assert system.statistics().unaccounted == 0
    assert log == ["start a", "got", "stop a"]


async def test_a_message_of_unknown_type_crashes_the_actor_and_names_both(autojump_clock: MockClock) -> None:
    """Type checkers refuse to send it; who does it anyway finds it in the report, told or asked."""
    crashes: list[Crash] = []
    async with open_system(Supervisor(notebook(A, [])), on_crash=crashes.append) as system:
        system.ref(A).tell(Stray())  # type: ignore[arg-type]
        with pytest.raises(ActorRestarted) as raised:
            await system.ref(A).ask(Stray())  # type: ignore[arg-type]
    assert [type(crash.error) for crash in crashes] == [Unhandled, Unhandled]
    assert str(crashes[0].error) == "supervisor/a has no handler for Stray"
    assert crashes[0].message_type == "Stray"
    assert raised.value.__cause__ is crashes[1].error


async def test_an_actor_without_a_handler_is_refused_at_its_start(autojump_clock: MockClock) -> None:
    """Each message that is addressed to its tag needs one; the error names what is missing."""

    class Lazy:
        """An address."""

    class Work(Tell[Lazy]):
        pass

    class LazyBone(Actor[Lazy]):
        pass

    with pytest.raises(SystemFailed) as failed:
        async with open_system(Supervisor(child(Name[Lazy]("lazy"), LazyBone)), on_crash=quiet):
            pytest.fail("the body must not run")
    assert failed.value.__cause__ is not None
    assert str(failed.value.__cause__.__cause__) == "LazyBone has no handler for Work, addressed to Lazy"


async def test_an_actor_with_two_handlers_is_refused_at_its_start(autojump_clock: MockClock) -> None:
    """Which of the two was meant cannot be known."""

    class Twofold(Notebook):
        @Note.handler
        def another(self, message: Note) -> None: ...

    with pytest.raises(SystemFailed) as failed:
        async with open_system(Supervisor(child(A, lambda: Twofold([]))), on_crash=quiet):
            pytest.fail("the body must not run")
    assert failed.value.__cause__ is not None
    assert str(failed.value.__cause__.__cause__) == "Twofold has two handlers for Note"


async def test_a_refusal_of_a_tell_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """The actor lives on; whoever told it can look the refusal up."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log)), on_dead_letter=unread) as system:
        refused = Do(fail(Refuse("no")))
        system.ref(A).tell(refused)
        await system.ref(A).ask(Count())
        letter = system.dead_letters[-1]
        assert (letter.path, letter.message, letter.why) == ("supervisor/a", refused, "refused")
        assert system.statistics().dead_letters == 1
    assert log == ["start a", "stop a"]


@pytest.mark.parametrize(
    "error", [trio.WouldBlock(), trio.EndOfChannel(), ExceptionGroup("g", [Refuse("no"), Refuse("nor I")])]
)
async def test_whatever_else_a_handler_raises_is_a_crash(autojump_clock: MockClock, error: Exception) -> None:
    """Not even what the mailbox itself raises within is taken for anything else."""

    class Raiser(Notebook):
        @Note.handler
        def note(self, message: Note) -> None:
            raise error

    crashes: list[Crash] = []
    async with open_system(
        Supervisor(child(A, lambda: Raiser([]), backoff=AT_ONCE)), on_crash=crashes.append
    ) as system:
        system.ref(A).tell(Note("x"))
        await system.ref(A).ask(Count())
    assert [repr(crash.error) for crash in crashes] == [repr(error)]


async def test_a_group_of_a_cancel_and_an_error_is_a_crash_by_the_error(autojump_clock: MockClock) -> None:
    """A handler that fails while it is cancelled is reported with its error alone; the cancel goes its own way."""
    crashes: list[Crash] = []

    async def two_at_once(me: Notebook) -> None:
        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in the end")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    async with open_system(Supervisor(notebook(A, [], shutdown=1)), on_crash=crashes.append) as system:
        system.ref(A).tell(Do(two_at_once))
    assert [repr(crash.error) for crash in crashes] == ["ValueError('in the end')"]


async def test_names_are_known_by_their_text_and_unknown_ones_are_told_with_the_known(
    autojump_clock: MockClock,
) -> None:
    """A KeyError that helps: who is called what."""
    async with open_system(Supervisor(notebook(A, []), notebook(B, [])), name="app") as system:
        assert system.ref(Name[Notes]("a")).path == "app/supervisor/a"
        assert repr(system.ref(A)) == "<Ref app/supervisor/a>"
        with pytest.raises(KeyError, match="nobody is called 'c'; there are a, b"):
            system.ref(C)
        with pytest.raises(Refuse, match="nobody is called 'c'"):
            await system.ref(A).ask(Get(_look_for_c))


def _look_for_c(me: Notebook) -> None:
    try:
        me.ctx.ref(C)
    except KeyError as error:
        raise Refuse(str(error)) from error


async def test_two_actors_of_one_name_are_refused_before_anything_starts(autojump_clock: MockClock) -> None:
    """Wherever in the tree they stand."""
    log: list[str] = []
    with pytest.raises(ValueError, match="two actors are called 'a'"):
        async with open_system(Supervisor(notebook(A, log), Supervisor(notebook(A, log), name="inner"))):
            pytest.fail("the body must not run")
    assert log == []


async def test_a_reference_serves_all_lives(autojump_clock: MockClock) -> None:
    """It points to who the actor is, not to what it is made of at the moment; it may be used before the actor starts."""
    log: list[str] = []

    def tell_b(me: Notebook) -> None:
        me.ctx.ref(B).tell(Note("early"))

    tree = Supervisor(notebook(A, log, at_start=tell_b), notebook(B, log))
    async with open_system(tree, on_crash=quiet) as system:
        ref = system.ref(B)
        await ref.ask(Count())
        ref.tell(Boom())
        ref.tell(Note("late"))
        await ref.ask(Count())
    assert log == ["start a", "start b", "early", "start b", "late", "stop b", "stop a"]


async def test_a_life_inherits_no_context_from_the_one_before(autojump_clock: MockClock) -> None:
    """What a handler bound to its context, say for its log lines, is gone with the life that bound it."""
    from contextvars import ContextVar

    bound: ContextVar[str] = ContextVar("bound", default="nothing")
    log: list[str] = []
    tree = Supervisor(
        notebook(A, log), notebook(B, log, at_start=lambda me: me.log.append(bound.get())), strategy="one_for_all"
    )
    async with open_system(tree, on_crash=quiet) as system:
        system.ref(A).tell(Do(lambda me: bound.set("by life 1") and None))
        system.ref(A).tell(Boom())
        assert await system.ref(A).ask(Get(lambda me: bound.get())) == "nothing"
    assert "by life 1" not in log


async def test_a_message_type_below_another_needs_its_own_handler(autojump_clock: MockClock) -> None:
    """Handlers go by the exact type."""

    class Talk:
        """An address."""

    class Say(Ask[Talk, str]):
        pass

    class Shout(Say):
        pass

    class Talker(Actor[Talk]):
        @Say.handler
        def say(self, message: Say) -> str:
            return "said"

        @Shout.handler
        def shout(self, message: Say) -> str:
            return "shouted"

    name = Name[Talk]("talk")
    async with open_system(Supervisor(child(name, Talker, restart=temporary))) as system:
        assert [await system.ref(name).ask(each) for each in (Say(), Shout())] == ["said", "shouted"]
