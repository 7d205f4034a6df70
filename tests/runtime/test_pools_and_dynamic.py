"""Several behind one name, and children that come and go."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from actor_kit import A, B, Boom, C, Count, Do, End, Get, Note, Notebook, Notes, fail, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorStopped,
    AskTimeout,
    Backoff,
    Dynamic,
    Intensity,
    Mailbox,
    MailboxFull,
    Name,
    Pool,
    Ref,
    Refuse,
    Spawn,
    Spawner,
    StartFailed,
    Supervisor,
    System,
    SystemFailed,
    Tell,
    child,
    least_loaded,
    open_system,
    round_robin,
    temporary,
    transient,
)

POOL = Name[Notes]("pool")
CHILDREN = Name[Spawner]("children")


def pool(log: list[str], **options: Any) -> Pool:
    return Pool(POOL, lambda: Notebook(log), **options)


async def spawn(system: System, spec: Any, within: float | None = None) -> Ref[Notes]:
    ref: Ref[Notes] = await system.ref(CHILDREN).ask(Spawn(spec), within=within)
    return ref


async def test_a_pool_takes_turns(autojump_clock: MockClock) -> None:
    """round_robin: each member in turn, for tells, asks, puts, offers and requests alike; members have names of their own."""
    async with open_system(Supervisor(pool([], size=3))) as system:
        ref = system.ref(POOL)
        ref.tell(Note("0"))
        await ref.put(Note("1"))
        assert ref.offer(Note("2"))
        await ref.request(Count())
        assert await ref.ask(Get(lambda me: me.ctx.me.path)) == "supervisor/pool/pool-1"
        assert ref.path == "supervisor/pool"
        assert await system.ref(Name[Notes]("pool-0")).ask(Count()) > 0
        await trio.testing.wait_all_tasks_blocked()
        assert [each.handled for each in system.tree().walk()] == [3, 2, 1]


async def test_a_pool_may_prefer_who_has_least_to_do(autojump_clock: MockClock) -> None:
    """least_loaded: the message in hand counts, as those queued do."""
    async with open_system(Supervisor(pool([], size=3, route=least_loaded))) as system:
        for _ in range(5):
            system.ref(POOL).tell(Do(nap(10)))
            await trio.testing.wait_all_tasks_blocked()
        assert [(each.in_hand, each.queued) for each in system.tree().walk()] == [("Do", 1), ("Do", 1), ("Do", 0)]


@pytest.mark.parametrize("route", [round_robin, least_loaded])
async def test_members_that_have_ended_are_passed_over(autojump_clock: MockClock, route: Any) -> None:
    """As long as one is left, the pool takes messages; then it says that it has stopped."""
    log: list[str] = []
    tree = Supervisor(pool(log, size=3, route=route, restart=temporary))
    async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
        ref = system.ref(POOL)
        for _ in range(2):
            ref.tell(Boom())
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(4):
                assert await ref.ask(Count()) == 3
        ref.tell(End())
        await ref.wait_stopped()
        with pytest.raises(ActorStopped):
            ref.tell(Note("x"))


async def test_members_restart_one_by_one(autojump_clock: MockClock) -> None:
    """A pool is a supervisor; one member's crash leaves the others alone, and too many bring it to give up."""
    log: list[str] = []
    tree = Supervisor(pool(log, size=2, intensity=Intensity(1, 10)), intensity=Intensity(0, 10))
    with pytest.raises(SystemFailed):  # noqa: PT012 - the block is what fails
        async with open_system(tree, on_crash=quiet) as system:
            system.ref(POOL).tell(Boom())
            await trio.sleep(1)
            assert log == ["start a"] * 3
            system.ref(POOL).tell(Boom())
            await trio.sleep_forever()


def test_a_pool_has_members() -> None:
    """At least one."""
    with pytest.raises(ValueError, match="size of pool 'pool' is at least 1, not 0"):
        pool([], size=0)


async def test_a_pool_has_no_identity_of_its_own(autojump_clock: MockClock) -> None:
    """To listen in, one names a member; the error says so."""
    async with open_system(Supervisor(pool([], size=1))) as system:
        with pytest.raises(KeyError, match="'pool' is a pool; name one of its members, say 'pool-0'"):
            system.tap(POOL)


async def test_children_can_be_added_while_it_runs(autojump_clock: MockClock) -> None:
    """A dynamic supervisor answers with a ready child; a second one of the name is refused."""
    log: list[str] = []
    async with open_system(Supervisor(Dynamic(CHILDREN)), on_crash=quiet) as system:
        ref = await spawn(system, notebook(A, log, at_start=nap(3)))
        assert log == ["start a"]
        with pytest.raises(ValueError, match="two actors are called 'a'"):
            await spawn(system, notebook(A, log))
        ref.tell(Boom())
        assert await ref.ask(Count()) == 2
    assert log == ["start a", "start a", "stop a"]


async def test_the_name_of_a_child_that_has_ended_is_free_again(autojump_clock: MockClock) -> None:
    """And what it did stays in the statistics."""
    log: list[str] = []
    async with open_system(Supervisor(Dynamic(CHILDREN))) as system:
        for _ in range(3):
            ref = await spawn(system, notebook(B, log, restart=temporary))
            ref.tell(End())
            await ref.wait_stopped()
            with pytest.raises(KeyError, match="nobody is called 'b'"):
                system.ref(B)
        statistics = system.statistics()
        assert (statistics.actors, statistics.sent, statistics.handled, statistics.unaccounted) == (1, 6, 6, 0)


async def test_messages_that_waited_for_room_at_a_child_that_ended_stay_accounted_for(
    autojump_clock: MockClock,
) -> None:
    """Its counts are kept the moment it ends, and who waited there is among them."""
    async with open_system(Supervisor(Dynamic(CHILDREN)), on_crash=quiet, on_dead_letter=unread) as system:
        ref = await spawn(system, notebook(A, [], restart=temporary, mailbox=Mailbox(1)))
        ref.tell(Do(_fail_later))
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(_put_to_one_that_ends, ref)
        assert (system.statistics().rejected, system.statistics().undelivered) == (2, 1)
        assert system.statistics().unaccounted == 0


async def _fail_later(me: Notebook) -> None:
    await trio.sleep(1)
    raise ValueError("boom")


async def _put_to_one_that_ends(ref: Ref[Notes]) -> None:
    try:
        await ref.put(Note("x"))
    except ActorStopped as stopped:
        assert not stopped.begun  # noqa: PT017 - one of three gets room


async def test_a_dynamic_supervisor_has_a_limit(autojump_clock: MockClock) -> None:
    """Beyond it, it refuses; when one ends, there is room again."""
    async with open_system(Supervisor(Dynamic(CHILDREN, children_max=1)), on_crash=quiet) as system:
        ref = await spawn(system, notebook(A, [], restart=transient))
        with pytest.raises(Refuse, match="supervisor/children has 1 children, which is its limit"):
            await spawn(system, notebook(B, []))
        ref.tell(End())
        await ref.wait_stopped()
        assert await (await spawn(system, notebook(B, []))).ask(Count()) == 1


async def test_a_child_that_does_not_start_is_told_to_who_wanted_it(autojump_clock: MockClock) -> None:
    """Nothing of it stays, and its supervisor is none the worse."""
    async with open_system(Supervisor(Dynamic(CHILDREN, intensity=Intensity(0, 1))), on_crash=quiet) as system:
        for _ in range(3):
            with pytest.raises(StartFailed) as failed:
                await spawn(system, notebook(A, [], at_start=fail(OSError("disk"))))
            assert repr(failed.value.__cause__) == "OSError('disk')"
        assert await (await spawn(system, notebook(A, []))).ask(Count()) == 1
        assert system.tree().supervisors[0].restarts == 0


async def test_children_start_beside_each_other(autojump_clock: MockClock) -> None:
    """A slow one does not hold up the next; who waits too long is told, and the child is there all the same."""
    log: list[str] = []
    async with open_system(Supervisor(Dynamic(CHILDREN))) as system, trio.open_nursery() as nursery:
        nursery.start_soon(spawn, system, notebook(A, log, at_start=nap(3)))
        await trio.testing.wait_all_tasks_blocked()
        await spawn(system, notebook(B, log))
        assert log == ["start b"]
        with pytest.raises(AskTimeout):
            await spawn(system, notebook(C, log, at_start=nap(2)), within=1)
        await trio.sleep(5)
        assert log == ["start b", "start c", "start a"]
        assert await system.ref(C).ask(Count()) == 3


async def test_children_stop_all_at_once(autojump_clock: MockClock) -> None:
    """They do not depend on each other."""
    async with open_system(Supervisor(Dynamic(CHILDREN))) as system:
        for number in range(5):
            await spawn(system, notebook(Name[Notes](f"n{number}"), [], at_stop=nap(4)))
    assert trio.current_time() == pytest.approx(4)


async def test_a_spawn_while_it_stops_is_refused_or_cut(autojump_clock: MockClock) -> None:
    """Who asked before the stop hears that it was stopped; who asks afterwards, that it has stopped. Nothing stays."""
    log: list[str] = []
    ended: list[bool] = []

    async def want(system: System, spec: Any) -> None:
        try:
            await spawn(system, spec, within=100)
        except ActorStopped as stopped:
            ended.append(stopped.begun)

    tree = Supervisor(Dynamic(CHILDREN), notebook(C, log, at_stop=nap(1)))
    async with trio.open_nursery() as nursery:
        async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
            nursery.start_soon(want, system, notebook(A, log, at_start=nap(50)))
            await trio.testing.wait_all_tasks_blocked()
            system.stop()
            await trio.sleep(2)
            await want(system, notebook(B, log))
    assert ended == [True, False]
    assert log == ["start c", "stop c"]
    assert trio.current_time() == pytest.approx(2)
    assert system.statistics().unaccounted == 0


async def test_a_told_spawn_is_obeyed_and_a_wrong_one_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """Nobody hears how a told one went; what cannot be done, or is no spawn at all, is buried visibly."""

    class Stray(Tell[Spawner]):
        pass

    log: list[str] = []
    async with open_system(Supervisor(Dynamic(CHILDREN)), on_crash=quiet, on_dead_letter=unread) as system:
        system.ref(CHILDREN).tell(Spawn(notebook(A, log)))
        system.ref(CHILDREN).tell(Spawn(notebook(A, log)))
        system.ref(CHILDREN).tell(Stray())
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["start a"]
        buried = sorted((type(letter.message).__name__, letter.why) for letter in system.dead_letters)
        assert buried == [("Spawn", "refused"), ("Stray", "refused")]
        assert system.statistics().unaccounted == 0


async def test_children_come_back_with_a_dynamic_supervisor_that_gave_up(autojump_clock: MockClock) -> None:
    """All that were ready do; one that was still starting does not, for its asker was told that it was stopped."""
    log: list[str] = []
    tree = Supervisor(Dynamic(CHILDREN, intensity=Intensity(0, 10)))
    async with open_system(tree, on_crash=quiet) as system:
        await spawn(system, notebook(A, log))
        await spawn(system, notebook(B, log))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_spawn_in_vain, system, notebook(C, log, at_start=nap(3)))
            await trio.testing.wait_all_tasks_blocked()
            system.ref(A).tell(Boom())
        assert await system.ref(B).ask(Count()) > 0
        await trio.sleep(5)
        assert log == ["start a", "start b", "stop b", "start a", "start b"]
        with pytest.raises(KeyError):
            system.ref(C)


async def _spawn_in_vain(system: System, spec: Any) -> None:
    with pytest.raises(ActorStopped) as stopped:
        await spawn(system, spec)
    assert stopped.value.begun


async def test_a_spawner_that_is_full_says_so(autojump_clock: MockClock) -> None:
    """Its mailbox is bounded, too."""
    async with open_system(Supervisor(Dynamic(CHILDREN))) as system:
        spec = child(A, lambda: Notebook([]))
        with pytest.raises(MailboxFull):
            _ = [system.ref(CHILDREN).request(Spawn(spec)) for _ in range(2000)]


async def test_who_waits_for_ever_for_a_spawn_hears_that_it_was_refused(autojump_clock: MockClock) -> None:
    """An ask always ends, even one without a deadline."""
    async with open_system(Supervisor(Dynamic(CHILDREN, children_max=0))) as system:
        with trio.fail_after(10), pytest.raises(Refuse):
            await spawn(system, notebook(A, []), within=float("inf"))


async def test_only_what_child_makes_is_spawned(autojump_clock: MockClock) -> None:
    """Anything else is refused to the asker, and harms nobody."""
    async with open_system(Supervisor(Dynamic(CHILDREN))) as system:
        for wrong in (Supervisor(), Notebook, None):
            with pytest.raises(TypeError, match=r"supervisor/children starts what child\(\.\.\.\) makes, not a "):
                await spawn(system, wrong)
        assert await (await spawn(system, notebook(A, []))).ask(Count()) == 1


async def test_mail_for_a_pool_in_which_all_have_crashed_waits(autojump_clock: MockClock) -> None:
    """As long as they will be back, their mailboxes take it, within their bounds."""
    log: list[str] = []
    members = pool(log, size=2, backoff=Backoff(first_s=3, jitter=0), mailbox=Mailbox(1))
    async with open_system(Supervisor(members), on_crash=quiet) as system:
        ref = system.ref(POOL)
        for _ in range(2):
            ref.tell(Boom())
        await trio.testing.wait_all_tasks_blocked()
        for number in range(2):
            ref.tell(Note(str(number)))
        with pytest.raises(MailboxFull):
            ref.tell(Note("too much"))
        await ref.put(Note("2"), within=10)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(log) == ["0", "1", "2"] + ["start a"] * 4
        assert trio.current_time() == pytest.approx(3)


async def test_a_name_that_is_free_again_is_somebody_elses(autojump_clock: MockClock) -> None:
    """The reference of the one before stays with the one before."""
    async with open_system(Supervisor(Dynamic(CHILDREN)), on_dead_letter=unread) as system:
        before = await spawn(system, notebook(A, [], restart=temporary))
        before.tell(End())
        await before.wait_stopped()
        after = await spawn(system, notebook(A, log := []))
        with pytest.raises(ActorStopped):
            before.tell(Note("for whom?"))
        assert (await before.wait_stopped()).reason == "stopped"
        assert system.ref(A) is not before
        assert await after.ask(Count()) == 1
        assert log == ["start a"]
