"""The test kit that is shipped: virtual time, probes, faults, strictness, and what it finds at the end."""

from __future__ import annotations

import subprocess
import sys
import time
from random import Random
from typing import Any

import pytest
import trio
from actor_kit import AT_ONCE, A, B, Boom, Count, Note, notebook
from trio.testing import MockClock

import etlplus.testing
from etlplus.runtime import (
    Actor,
    ActorRestarted,
    ActorStopped,
    Ask,
    Dynamic,
    MailboxFull,
    Name,
    Spawn,
    Spawner,
    Supervisor,
    Tell,
    child,
)
from etlplus.runtime.testing import Kit, Probe, deterministic, open_kit, simulate


class Clerk:
    """Address of an actor that asks another."""


class Look(Tell[Clerk]):
    pass


class Answers(Ask[Clerk, list[str]]):
    pass


class Clerical(Actor[Clerk]):
    async def started(self) -> None:
        self._answers: list[str] = []

    @Look.handler
    async def look(self, message: Look) -> None:
        self.ctx.ref(A).tell(Note("looking"))
        self._answers.append(str(await self.ctx.ref(A).ask(Count())))

    @Answers.handler
    def answers(self, message: Answers) -> list[str]:
        return self._answers


CLERK = Name[Clerk]("clerk")


def clerk() -> Supervisor:
    return Supervisor(child(CLERK, Clerical, backoff=AT_ONCE))


async def test_a_probe_stands_in_for_an_actor(autojump_clock: MockClock) -> None:
    """It keeps what it is sent, in order, and answers asks as the test says."""
    async with open_kit(clerk(), probes=[A]) as kit:
        assert isinstance(kit, Kit)
        probe: Probe[Any] = kit.probe(A)
        kit.ref(CLERK).tell(Look())
        assert (await probe.expect(Note)).text == "looking"
        assert await probe.expect(Count) == Count()
        probe.reply(42)
        await kit.settle()
        assert await kit.ref(CLERK).ask(Answers()) == ["42"]
        await probe.expect_nothing(during=5)
        assert trio.current_time() == pytest.approx(5)
        probe.ref.tell(Note("by hand"))
        await probe.expect(Note)


async def test_a_probe_may_fail_an_ask(autojump_clock: MockClock) -> None:
    """The asker gets that error; here it crashes over it, which the test then takes out of the list."""
    async with open_kit(clerk(), probes=[A]) as kit:
        kit.ref(CLERK).tell(Look())
        await kit.probe(A).expect(Note)
        await kit.probe(A).expect(Count)
        kit.probe(A).fail(OSError("disk"))
        await kit.settle()
        assert [repr(crash.error) for crash in kit.crashes] == ["OSError('disk')"]
        kit.crashes.clear()


async def test_a_probe_complains_about_what_it_did_not_expect(autojump_clock: MockClock) -> None:
    """Another message, none at all, something where nothing should be, an answer to nobody."""
    async with open_kit(Supervisor(), probes=[A]) as kit:
        probe = kit.probe(A)
        with pytest.raises(AssertionError, match=r"probe/a expected Note within 2 s, and got nothing"):
            await probe.expect(Note, within=2)
        assert trio.current_time() == pytest.approx(2)
        kit.ref(A).tell(Boom())
        with pytest.raises(AssertionError, match=r"probe/a expected Note, and got Boom\(\)"):
            await probe.expect(Note)
        kit.ref(A).tell(Boom())
        with pytest.raises(AssertionError, match=r"probe/a expected nothing during 1 s, and got Boom\(\)"):
            await probe.expect_nothing(during=1)
        with pytest.raises(AssertionError, match="probe/a was not asked"):
            probe.reply(1)


async def test_the_kit_needs_virtual_time() -> None:
    """With a real clock a test would sleep, and exact silence could not be told."""
    with pytest.raises(RuntimeError, match="needs virtual time"):
        async with open_kit(Supervisor()):
            pytest.fail("the body must not run")


async def test_time_passes_when_the_test_says_so(autojump_clock: MockClock) -> None:
    """advance lets everything happen that is due in it; an hour takes no time."""
    log: list[str] = []
    began = time.monotonic()
    async with open_kit(Supervisor(notebook(A, log, at_start=lambda me: me.ctx.every(60, Note("tick"))))) as kit:
        await kit.advance(3600)
        assert log.count("tick") == 60
    assert time.monotonic() - began < 30


async def test_what_goes_unnoticed_fails_the_test(autojump_clock: MockClock) -> None:
    """Crashes and dead letters that nobody took out, named one by one."""
    with pytest.raises(AssertionError) as told:  # noqa: PT012 - the block is what fails
        async with open_kit(Supervisor(notebook(A, [])), probes=[B]) as kit:
            kit.ref(A).tell(Boom())
            kit.ref(B).tell(Note("unread"))
    assert str(told.value).splitlines() == [
        "unnoticed until the end:",
        "supervisor/a crashed: ValueError('boom')",
        "probe/b did not handle Note(text='unread'): undelivered",
    ]


async def test_what_was_noticed_passes(autojump_clock: MockClock) -> None:
    """A test takes out what it expected."""
    async with open_kit(Supervisor(notebook(A, [])), probes=[B]) as kit:
        kit.ref(A).tell(Boom())
        await kit.settle()
        assert kit.crashes.pop().path == "supervisor/a"
        system = kit.system
        system.ref(B).tell(Note("read"))
        await kit.probe(B).expect(Note)
        assert list(kit.dead_letters) == []


async def test_the_next_message_can_crash_or_stall_an_actor(autojump_clock: MockClock) -> None:
    """Just the next one, though more are handled in the same slice."""
    log: list[str] = []
    async with open_kit(Supervisor(notebook(A, log))) as kit:
        kit.stall(A, 10)
        for text in ("late", "at once", "at once"):
            kit.ref(A).tell(Note(text))
        await kit.advance(9)
        assert log == ["start a"]
        await kit.advance(1)
        assert log == ["start a", "late", "at once", "at once"]
        kit.crash(A, OSError("disk"))
        with pytest.raises(ActorRestarted):
            await kit.ref(A).ask(Count())
        assert await kit.ref(A).ask(Count()) == 5
        assert [repr(crash.error) for crash in kit.crashes] == ["OSError('disk')"]
        kit.crashes.clear()


async def test_messages_can_be_dropped_on_their_way(autojump_clock: MockClock) -> None:
    """All of a type or a share of them, by the seed; each is counted, and an asker is told."""
    log: list[str] = []
    async with open_kit(Supervisor(notebook(A, log)), seed=5) as kit:
        kit.drop(A, Count)
        with pytest.raises(MailboxFull):
            await kit.ref(A).ask(Count())
        kit.drop(A, Note, share=0.5)
        for number in range(100):
            kit.ref(A).tell(Note(str(number)))
        await kit.settle()
        assert 20 < len(log) < 80
        statistics = kit.system.statistics()
        assert statistics.dropped == 101 - (len(log) - 1)
        assert statistics.unaccounted == 0


class Border:
    """Address of an actor at the edge of the process."""


class Loose(Tell[Border]):
    anything: Any


class Echo(Ask[Border, str]):
    text: str


class Guard(Actor[Border]):
    @Loose.handler
    def loose(self, message: Loose) -> None:
        """Whatever it is, it came through."""

    @Echo.handler
    def echo(self, message: Echo) -> str:
        return message.text


GUARD = Name[Border]("guard")


async def test_strictness_finds_messages_that_cannot_leave_the_process(autojump_clock: MockClock) -> None:
    """What cannot be encoded, or comes back as something else, fails where it is sent, and is counted as rejected."""
    tree = Supervisor(child(GUARD, Guard), Dynamic(Name[Spawner]("more")))
    async with open_kit(tree) as kit:
        with pytest.raises(TypeError, match="Encoding objects of type object is unsupported"):
            kit.ref(GUARD).tell(Loose(object()))
        with pytest.raises(TypeError, match=r"comes back as .* when it is encoded"):
            kit.ref(GUARD).tell(Loose((1, 2)))
        kit.ref(GUARD).tell(Loose([1, 2]))
        assert await kit.ref(GUARD).ask(Echo("x")) == "x"
        await kit.ref(Name[Spawner]("more")).ask(Spawn(notebook(B, [])))
        assert (kit.system.statistics().rejected, kit.system.statistics().unaccounted) == (2, 0)
    async with open_kit(Supervisor(child(GUARD, Guard)), strict=False) as kit:
        kit.ref(GUARD).tell(Loose((1, 2)))


async def test_the_trace_tells_what_was_handled_when(autojump_clock: MockClock) -> None:
    """Time, path and type; its digest is the same for the same story."""
    digests: set[str] = set()
    for _ in range(2):
        began = trio.current_time()
        async with open_kit(Supervisor(notebook(A, []))) as kit:
            kit.ref(A).tell(Note("x"))
            await kit.advance(0)
            assert [line.partition(" ")[2] for line in kit.trace] == ["supervisor/a Note"]
            assert float(kit.trace[0].split()[0]) == pytest.approx(began)
            digests.add(kit.digest())
    assert len(digests) == 1


async def _shuffled(rng: Random) -> list[str]:
    """Many tasks that run in an order which Trio chooses."""
    order: list[str] = []

    async def say(name: str) -> None:
        for _ in range(5):
            await trio.sleep(rng.random())
            await trio.lowlevel.checkpoint()
            order.append(name)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(say, str(number))
    return order


def test_a_simulation_is_told_by_its_seed() -> None:
    """Same seed, same story; another seed, another one."""
    assert simulate(_shuffled, 1) == simulate(_shuffled, 1) != simulate(_shuffled, 2)


CANARY = """
import trio
from etlplus.runtime.testing import deterministic, simulate

core = trio._core._run
assert core._ALLOW_DETERMINISTIC_SCHEDULING is False
state = core._r.getstate()
with deterministic(1):
    assert core._ALLOW_DETERMINISTIC_SCHEDULING is True
    core._r.random()
assert core._ALLOW_DETERMINISTIC_SCHEDULING is False
assert core._r.getstate() == state

async def order_of_tasks(rng):
    order = []

    async def say(number):
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(50):
            nursery.start_soon(say, number)
    return tuple(order)

orders = [simulate(order_of_tasks, seed) for seed in range(6) for _ in range(2)]
assert orders[::2] == orders[1::2]
print(len(set(orders)))
"""


def test_trio_still_has_its_private_switch() -> None:
    """The canary: with it, the order of tasks is a matter of the seed alone; it is put back as it was afterwards."""
    ended = subprocess.run([sys.executable, "-c", CANARY], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "6\n"


def test_a_simulation_hands_out_its_result_and_its_error() -> None:
    """As trio.run does."""

    async def broken(rng: Random) -> None:
        raise OSError(str(rng.random()))

    with deterministic(3), pytest.raises(OSError, match=str(Random(3).random())):
        simulate(broken, 3)


async def test_who_waits_for_a_probe_does_not_wait_in_vain(autojump_clock: MockClock) -> None:
    """A test that fails before it answers leaves nobody hanging."""
    with pytest.raises(OSError, match="the test failed"):  # noqa: PT012 - the block is what fails
        async with open_kit(Supervisor(), probes=[A]) as kit:
            pending = kit.ref(A).request(Count(), within=1000)
            raise OSError("the test failed")
    with pytest.raises(ActorStopped):
        await pending
    assert trio.current_time() == 0


def test_the_kit_is_part_of_the_one_that_is_shipped() -> None:
    """Who tests actors of the service finds it beside the exams of the stores."""
    assert etlplus.testing.__all__ == ["Kit", "Probe", "deterministic", "open_kit", "simulate"]
    assert etlplus.testing.open_kit is open_kit
    assert etlplus.testing.simulate is simulate
