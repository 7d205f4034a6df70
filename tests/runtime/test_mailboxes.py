"""Mailboxes: their bounds, what becomes of a message for which there is no room, and who waits for room."""

from __future__ import annotations

import pytest
import trio
from actor_kit import A, B, Boom, Count, Do, End, Get, Note, Notebook, Slow, nap, notebook, quiet, unread
from trio.testing import MockClock

from etlplus.runtime import (
    ActorStopped,
    AskTimeout,
    Backoff,
    Mailbox,
    MailboxFull,
    Supervisor,
    child,
    drop_oldest,
    fail,
    keep_latest,
    open_system,
    temporary,
    transient,
)


async def test_a_full_mailbox_says_so_and_put_waits(autojump_clock: MockClock) -> None:
    """tell raises, put waits for room, nothing is lost silently."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(4, fail)))) as system:
        ref = system.ref(A)
        for number in range(5):  # the first goes straight to the actor, which waits
            ref.tell(Note(str(number)))
        with pytest.raises(MailboxFull, match=r"the mailbox of supervisor/a is full \(4\)"):
            ref.tell(Note("too much"))
        for number in range(20):
            await ref.put(Note(f"p{number}"))
        await ref.ask(Count())
        snapshot = system.tree().actors[0]
    assert snapshot.rejected == 1
    assert log[1:6] == ["0", "1", "2", "3", "4"]
    assert [text for text in log if text.startswith("p")] == [f"p{number}" for number in range(20)]


async def test_an_offer_tells_whether_it_was_taken(autojump_clock: MockClock) -> None:
    """For what may be missed: no error, no dead letter, but counted."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(1), restart=transient))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        assert [ref.offer(Note("taken")), ref.offer(Note("missed"))] == [True, False]
        await trio.sleep(2)
        ref.tell(End())
        await ref.wait_stopped()
        assert not ref.offer(Note("too late"))
        assert (system.statistics().rejected, system.statistics().unaccounted, len(system.dead_letters)) == (2, 0, 0)
    assert log == ["start a", "taken", "stop a"]


async def test_messages_that_wait_for_room_are_accounted_for(autojump_clock: MockClock) -> None:
    """At a quiet point with somebody waiting in put, his message counts as queued; if he gives up, as rejected."""
    async with open_system(Supervisor(notebook(A, [], mailbox=Mailbox(1)))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(10)))
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(_put_in_vain, ref, str(number))
            await trio.testing.wait_all_tasks_blocked()
            assert (system.statistics().queued, system.statistics().unaccounted) == (3, 0)
        assert trio.current_time() == pytest.approx(2)
        statistics = system.statistics()
        assert (statistics.queued, statistics.rejected, statistics.unaccounted) == (1, 2, 0)


async def _put_in_vain(ref: object, text: str) -> None:
    try:
        await ref.put(Note(text), within=2)  # type: ignore[attr-defined]
    except AskTimeout as late:
        assert str(late) == "no room in the mailbox of supervisor/a within 2 s"  # noqa: PT017 - one of three gets room


@pytest.mark.parametrize("how", ["stops itself", "crashes for good", "system stops"])
async def test_who_waits_for_room_hears_when_the_actor_ends(autojump_clock: MockClock, how: str) -> None:
    """Each way of ending tells those who wait in put, and counts their messages as rejected."""
    ended: list[str] = []

    async def put(ref: object, text: str) -> None:
        try:
            await ref.put(Note(text), within=100)  # type: ignore[attr-defined]
        except ActorStopped:
            ended.append(text)

    async def busy(me: Notebook) -> None:
        await trio.sleep(1)
        if how == "stops itself":
            me.ctx.stop()
            await trio.sleep(1)
        elif how == "crashes for good":
            raise ValueError("boom")

    tree = Supervisor(notebook(A, [], mailbox=Mailbox(1), restart=temporary))
    async with trio.open_nursery() as nursery:
        async with open_system(tree, on_crash=quiet, on_dead_letter=unread) as system:
            system.ref(A).tell(Do(busy))
            await trio.testing.wait_all_tasks_blocked()
            for number in range(3):
                nursery.start_soon(put, system.ref(A), str(number))
            await trio.testing.wait_all_tasks_blocked()
            if how != "system stops":
                await trio.sleep(3)
    assert len(ended) >= 2  # one of them may have got the room that was there
    assert system.statistics().unaccounted == 0
    assert trio.current_time() < 10


async def test_puts_of_one_sender_keep_their_order_with_its_tells(autojump_clock: MockClock) -> None:
    """Whoever waits for room is not overtaken by what he says afterwards."""
    log: list[str] = []

    async def chatter(me: Notebook) -> None:
        for number in range(6):
            await me.ctx.ref(A).put(Note(str(number)))

    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(2)), notebook(B, []))) as system:
        system.ref(A).tell(Do(nap(1)))
        await system.ref(B).ask(Get(chatter))
        await system.ref(A).ask(Count())
    assert log[1:-1] == ["0", "1", "2", "3", "4", "5"]


async def test_a_cancelled_put_has_not_sent_and_a_sent_one_is_not_cancelled(autojump_clock: MockClock) -> None:
    """Trio's law: what raises Cancelled has not happened."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log))) as system:
        with trio.CancelScope() as scope:
            scope.cancel()
            await system.ref(A).put(Note("never"))
        assert scope.cancelled_caught
        assert system.statistics().sent == 0
        with trio.CancelScope() as scope:
            trio.lowlevel.spawn_system_task(_cancel, scope)
            await system.ref(A).put(Note("sent"))
            log.append("went on")
    assert [line for line in log if line != "went on"] == ["start a", "sent", "stop a"]
    assert "went on" in log


async def _cancel(scope: trio.CancelScope) -> None:
    scope.cancel()


async def test_drop_oldest_makes_room_and_tells_the_asker_that_was_dropped(autojump_clock: MockClock) -> None:
    """The newest are kept, in order; every drop is counted; an ask that is dropped ends at once."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(3, drop_oldest)))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        asked = ref.request(Count())
        for number in range(5):
            ref.tell(Note(str(number)))
        await ref.put(Note("5"))
        with pytest.raises(MailboxFull, match="dropped it for something newer"):
            await asked
        assert trio.current_time() == 0
        await trio.sleep(2)
        snapshot = system.tree().actors[0]
    assert log == ["start a", "3", "4", "5", "stop a"]
    assert (snapshot.dropped, snapshot.unaccounted) == (4, 0)


async def test_a_put_waits_for_a_number_of_seconds_and_says_for_how_many(autojump_clock: MockClock) -> None:
    """No longer than whoever asks its sender, and never for nan; what was not sent is counted as that."""
    log: list[str] = []
    heard: list[str] = []

    async def put(me: Notebook) -> None:
        try:
            await me.ctx.ref(B).put(Note("x"), within=9)
        except AskTimeout as error:
            heard.append(str(error))

    async with open_system(Supervisor(notebook(A, log), notebook(B, log, mailbox=Mailbox(1)))) as system:
        ref = system.ref(B)
        ref.tell(Do(nap(20)))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Note("queued"))
        with pytest.raises(ValueError, match="not for nan"):
            await ref.put(Note("x"), within=float("nan"))
        system.ref(A).request(
            Get(put), within=2
        )  # which of the two gives up first, at the same moment, is nobody's promise
        await trio.sleep(3)
        assert heard == ["no room in the mailbox of supervisor/b within 2 s"]
        assert [each.unaccounted for each in system.tree().actors] == [0, 0]


async def test_keep_latest_keeps_one_of_each_type_at_its_place(autojump_clock: MockClock) -> None:
    """A newer one takes the place of the older of its type, asks included; once handled, the next waits anew."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(2, keep_latest)))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Note("old"))
        asked = ref.request(Get(lambda me: me.log.append("asked")))
        ref.tell(Note("new"))
        newer = ref.request(Get(lambda me: me.log.append("asked again")))
        with pytest.raises(MailboxFull, match="dropped it"):
            await asked
        with pytest.raises(MailboxFull):
            ref.tell(Boom())  # a third type, and room for two
        await newer
        ref.tell(Note("next"))
        await trio.testing.wait_all_tasks_blocked()
        snapshot = system.tree().actors[0]
    assert log == ["start a", "new", "asked again", "next", "stop a"]
    assert (snapshot.dropped, snapshot.rejected, snapshot.unaccounted) == (2, 1, 0)


async def test_what_is_dropped_across_a_crash_is_still_one_of_each_type(autojump_clock: MockClock) -> None:
    """The places of the latest outlive a life, as all that is queued does."""
    log: list[str] = []
    tree = Supervisor(notebook(A, log, mailbox=Mailbox(8, keep_latest), backoff=Backoff(first_s=1, jitter=0)))
    async with open_system(tree, on_crash=quiet) as system:
        ref = system.ref(A)
        ref.tell(Boom())
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Note("old"))
        ref.tell(Note("new"))
        await trio.sleep(2)
    assert log == ["start a", "start a", "new", "stop a"]


async def test_keep_latest_keeps_one_of_those_that_waited_for_room(autojump_clock: MockClock) -> None:
    """A put that finds room meets what came of its type meanwhile, be it told or put: the last to come is left."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(2, keep_latest)))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(1)))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Do(nap(1)))
        slow = ref.request(Slow(1))
        async with trio.open_nursery() as nursery:
            for text in ("first", "second"):
                nursery.start_soon(ref.put, Note(text))
                await trio.testing.wait_all_tasks_blocked()
            full = system.tree().actors[0]
            await trio.sleep(1)  # one message is taken out, and there is room for the first
            await trio.testing.wait_all_tasks_blocked()
            ref.tell(Note("told"))
            room_for_one = system.tree().actors[0]
        await slow
        await trio.testing.wait_all_tasks_blocked()
        snapshot = system.tree().actors[0]
    assert (full.queued, full.unaccounted) == (4, 0)
    assert (room_for_one.queued, room_for_one.dropped, room_for_one.unaccounted) == (3, 1, 0)
    assert log == ["start a", "second", "stop a"]
    assert (snapshot.dropped, snapshot.rejected, snapshot.queued, snapshot.unaccounted) == (2, 0, 0, 0)


async def test_whoever_waits_for_room_among_the_latest_gives_up_or_is_refused(autojump_clock: MockClock) -> None:
    """After a while, when cancelled, or when the actor stops; each is counted once."""
    log: list[str] = []
    async with open_system(Supervisor(notebook(A, log, mailbox=Mailbox(1, keep_latest), shutdown=60))) as system:
        ref = system.ref(A)
        ref.tell(Do(nap(20)))
        await trio.testing.wait_all_tasks_blocked()
        ref.tell(Do(nap(1)))
        with pytest.raises(AskTimeout):
            await ref.put(Note("late"), within=1)
        with trio.move_on_after(1) as limit:
            await ref.put(Note("cancelled"))
        assert limit.cancelled_caught
        assert system.tree().actors[0].rejected == 2
        async with trio.open_nursery() as nursery:

            async def put() -> None:
                with pytest.raises(ActorStopped):
                    await ref.put(Note("refused"), within=60)

            nursery.start_soon(put)
            await trio.testing.wait_all_tasks_blocked()
            system.stop()
        await ref.wait_stopped()
        snapshot = system.tree().actors[0]
    assert log == ["start a", "stop a"]
    assert (snapshot.rejected, snapshot.queued, snapshot.unaccounted) == (3, 0, 0)


async def test_timers_take_nobodys_place_in_the_mailbox(autojump_clock: MockClock) -> None:
    """However often a timer ticks while a handler is busy, senders find all the room they were promised."""
    log: list[str] = []

    class Ticking(Notebook):
        async def started(self) -> None:
            self.ctx.every(0.01, Note("tick"))

    async with open_system(Supervisor(child(A, lambda: Ticking(log), mailbox=Mailbox(4)))) as system:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(system.ref(A).ask, Slow(1.0))
            await trio.sleep(0.9)
            for number in range(4):
                system.ref(A).tell(Note(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        await system.ref(A).ask(Count())
    assert [text for text in log if text != "tick"] == ["0", "1", "2", "3", "stop a"]


def test_a_mailbox_without_room_is_refused() -> None:
    """At least one message must fit."""
    with pytest.raises(ValueError, match="capacity of a mailbox is at least 1, not 0"):
        Mailbox(0)
