"""What became of the messages: dead letters, counts, and the tree as it is."""

from __future__ import annotations

import pytest
import trio
from actor_kit import A, B, Boom, Count, Do, End, Note, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorSnapshot,
    ActorStopped,
    Backoff,
    DeadLetter,
    Statistics,
    Supervisor,
    TreeSnapshot,
    open_system,
    transient,
)


async def test_letters_to_one_that_is_gone_are_visible_by_default(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sender is told, the letter is kept, and a line on stderr says so; crashes are told there with their traceback."""
    async with open_system(Supervisor(notebook(A, [], restart=transient))) as system:
        system.ref(A).tell(Boom())
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        await trio.sleep(3)
        with pytest.raises(ActorStopped, match="supervisor/a has stopped"):
            system.ref(A).tell(Note("late"))
        assert list(system.dead_letters) == [DeadLetter("supervisor/a", Note("late"), "stopped", 3.0)]
    first, second, *_, error, note, letter = capsys.readouterr().err.splitlines()
    assert [first, second, error] == [
        "supervisor/a crashed:",
        "Traceback (most recent call last):",
        "ValueError: boom",
    ]
    assert note.startswith("supervisor/a: life 1, over Boom")
    assert letter == "supervisor/a will not handle Note: stopped"


async def test_letters_are_told_sparingly_and_counted_all(autojump_clock: MockClock) -> None:
    """Ten within five minutes are told, then silence until the first of them is that old; the newest 256 are kept."""
    told: list[DeadLetter] = []
    tree = Supervisor(notebook(A, [], restart=transient))
    async with open_system(tree, on_dead_letter=told.append) as system:
        system.ref(A).tell(End())
        await system.ref(A).wait_stopped()
        for number in range(300):
            with pytest.raises(ActorStopped):
                system.ref(A).tell(Note(str(number)))
        assert len(told) == 10
        assert system.statistics().dead_letters == 300
        assert [letter.message.text for letter in system.dead_letters] == [str(number) for number in range(44, 300)]
        await trio.sleep(301)
        with pytest.raises(ActorStopped):
            system.ref(A).tell(Note("again"))
        assert told[-1].message == Note("again")


async def test_the_tree_shows_each_actor_as_it_is(autojump_clock: MockClock) -> None:
    """Where it stands, what it has in hand, how much waits, what became of the rest, and what it shows of itself."""
    inner = Supervisor(notebook(B, [], shows=lambda: {"rows": 7}), name="inner", strategy="rest_for_one")
    tree = Supervisor(notebook(A, [], backoff=Backoff(first_s=5, jitter=0)), inner)
    async with open_system(tree, name="app", on_crash=quiet) as system:
        system.ref(A).tell(Boom())
        system.ref(A).tell(Note("waits"))
        system.ref(B).tell(Do(nap(10)))
        await trio.testing.wait_all_tasks_blocked()
        seen = system.tree()
        assert isinstance(seen, TreeSnapshot)
        assert (seen.path, seen.strategy, seen.restarts, seen.restarts_left) == ("app/supervisor", "one_for_one", 0, 4)
        assert [each.path for each in seen.walk()] == ["app/supervisor/a", "app/supervisor/inner/b"]
        first, second = seen.walk()
        assert isinstance(first, ActorSnapshot)
        assert (first.status, first.queued, first.life, first.restarts) == ("waiting", 1, 1, 0)
        assert first.last_crash == "ValueError('boom')"
        assert (second.status, second.in_hand, second.state) == ("running", "Do", {"rows": 7})
        await system.ref(A).ask(Count(), within=20)
        assert next(system.tree().walk()).restarts == 1
    assert {each.status for each in system.tree().walk()} == {"stopped"}


async def test_statuses_follow_an_actor_through_its_life(autojump_clock: MockClock) -> None:
    """new, starting, running, stopping, stopped."""
    seen: list[str] = []

    def look(me: object) -> None:
        seen.append(next(system.tree().walk()).status)

    async def start(me: object) -> None:
        await trio.sleep(1)

    async with open_system(Supervisor(notebook(A, [], at_start=start, at_stop=look))) as system:
        look(None)
    look(None)
    assert seen == ["running", "stopping", "stopped"]


async def test_statistics_add_up(autojump_clock: MockClock) -> None:
    """sent = handled + rejected + dropped + shed + undelivered + queued, over all actors that ever were."""
    async with open_system(
        Supervisor(notebook(A, []), notebook(B, [])), on_crash=quiet, on_dead_letter=unread
    ) as system:
        for name in (A, B):
            system.ref(name).tell(Boom())
            system.ref(name).tell(Note("x"))
        await system.ref(B).ask(Count())
        await system.ref(A).ask(Count())
        statistics = system.statistics()
        assert isinstance(statistics, Statistics)
        assert (statistics.sent, statistics.handled, statistics.crashes, statistics.actors) == (6, 6, 2, 2)
        assert statistics.unaccounted == 0
    assert Statistics(**dict.fromkeys(Statistics.__struct_fields__, 0) | {"sent": 1}).unaccounted == 1
