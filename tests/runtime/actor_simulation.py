"""
Stories about random trees of actors to which everything happens that can happen, each told by its seed alone.

Trees: nested supervisors of every strategy, dynamic ones and pools, mailboxes of every policy. Actors: sync and async handlers,
asks through several others, puts, timers, piped work, watching, stopping. Faults: crashes in handlers, hooks and piped work,
also over its cancellation, hooks of the system that fail, late and failing starts, stalls,
actors that ignore their cancellation for a while, supervisors that give up; and the whole
system is left, stopped, stopped twice, cancelled from outside at any moment, or brought down by an error of its body.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import trio
import trio.testing

from etlplus.runtime import (
    Actor,
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
    Pool,
    Ref,
    Refuse,
    RuntimeFault,
    Spawn,
    Spawner,
    Supervisor,
    System,
    SystemFailed,
    Tell,
    child,
    least_loaded,
    open_system,
    round_robin,
)
from etlplus.runtime.testing import simulate

LIFE_S = 20.0
LATE_S = 400.0
DEEDS = (
    "nothing", "nothing", "nothing", "sleep", "sleep", "crash", "refuse", "ask", "ask", "tell", "put", "after", "every",
    "pipe", "stop", "watch", "request", "stubborn", "group",
)  # fmt: skip


class Soul:
    """Address of the actors of a story."""


class Said(Tell[Soul]):
    """One of a numbered series from one sender; the deed is what to do over it."""

    sender: str
    number: int
    deed: str


class Asked(Ask[Soul, int]):
    sender: str
    number: int
    deed: str
    hops: int


class Ticked(Tell[Soul]):
    """What a life told itself; no other life may hear it."""

    what: str
    life: int


class Ended(Tell[Soul]):
    exit: Exit


class Trouble(Exception):
    """What actors raise here; numbered, so that each can be looked for."""


@dataclass
class Story:
    """All that happened, and what the laws need to know of it.

    Attributes:
        events: Time, what happened, to whom, and more.
        raised: Numbers of the troubles that actors raised and that must turn up somewhere.
        found: Numbers of those that turned up: in a report, in an answer, or out of ``open_system``.
        order: Paths of the actors that start in order, in that order.
        broken: Laws that were found broken while it went on.
    """

    seed: int
    rng: Random
    events: list[tuple[float, str, str, str]] = field(default_factory=list)
    raised: set[int] = field(default_factory=set)
    found: set[int] = field(default_factory=set)
    order: list[str] = field(default_factory=list)
    latest: set[str] = field(default_factory=set)
    names: list[Name[Soul]] = field(default_factory=list)
    spawners: list[Name[Spawner]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    lives: int = 0
    ending: str = ""

    def __post_init__(self) -> None:
        self._mishaps = Random(self.seed)

    def mishap(self, share: float) -> bool:
        """As ``chance``, from a source of its own, so that what was added later leaves the older stories alone."""
        return self._mishaps.random() < share

    def note(self, what: str, who: str, more: str = "") -> None:
        self.events.append((round(trio.current_time(), 6), what, who, more))

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def trouble(self) -> Trouble:
        number = len(self.raised)
        self.raised.add(number)
        return Trouble(number)

    def look_through(self, error: BaseException | None) -> None:
        self.found |= {each.args[0] for each in _within(error, set()) if isinstance(each, Trouble)}

    def number(self, sender: str) -> int:
        self.numbers[sender] = self.numbers.get(sender, 0) + 1
        return self.numbers[sender]

    def said(self, sender: str) -> Said:
        return Said(sender, self.number(sender), self.rng.choice(DEEDS))

    def asked(self, sender: str, hops: int) -> Asked:
        return Asked(sender, self.number(sender), self.rng.choice(DEEDS), hops)

    def digest(self) -> str:
        return hashlib.sha256(repr(self.events).encode()).hexdigest()


def _within(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """An error, and all that it was raised from, with or within."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from _within(error.__cause__, seen)
    yield from _within(error.__context__, seen)
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _within(each, seen)


class Player(Actor[Soul]):
    """Does over each message what it is told to do."""

    def __init__(self, story: Story, frailty: float) -> None:
        self._story = story
        self._frailty = frailty
        story.lives += 1
        self._life = story.lives

    @property
    def _path(self) -> str:
        return self.ctx.me.path

    async def started(self) -> None:
        story = self._story
        self._task = trio.lowlevel.current_task()
        if story.chance(0.3):
            await trio.sleep(story.rng.choice([0, 0, 0.1, 1, 1, 3]))
        if story.chance(self._frailty / 4):
            raise story.trouble()
        if story.chance(0.2):
            self.ctx.every(story.rng.choice([0.3, 1, 5]), Ticked("every", self._life), key="start", jitter=0.1)
        story.note("started", self._path)

    async def stopping(self, exit: Exit) -> None:  # noqa: A002 - the field's word
        story = self._story
        story.note("stopping", self._path)
        if story.chance(0.3):
            await trio.sleep(story.rng.choice([0, 0.5, 3, 20]))
        if story.chance(self._frailty):
            raise story.trouble()

    def undelivered(self, left: object) -> None:
        self._story.note("undelivered", self._path)
        if self._story.chance(self._frailty):
            raise self._story.trouble()

    def snapshot(self) -> object:
        if self._story.chance(0.05):
            raise ValueError("a bad picture")
        return None

    @Said.handler
    def said(self, message: Said) -> Awaitable[None] | None:
        self._note("handled", f"{message.sender} {message.number} said")
        return self._do(message.deed, 1)  # type: ignore[return-value]  # some deeds are sync, and then there is no value

    @Asked.handler
    async def asked(self, message: Asked) -> int:
        self._note("handled", f"{message.sender} {message.number} asked")
        doing = self._do(message.deed, message.hops)
        if doing is not None:
            await doing
        return message.number

    @Ticked.handler
    def ticked(self, message: Ticked) -> None:
        self._note("ticked", message.what)
        if message.life != self._life:
            self._story.broken.append(f"{self._path} heard what an earlier life told itself: {message.what}")

    @Ended.handler
    def ended(self, message: Ended) -> None:
        self._note("heard", message.exit.reason)

    def _note(self, what: str, more: str) -> None:
        self._story.note(what, self._path, more)
        if trio.lowlevel.current_task() is not self._task:
            self._story.broken.append(f"{self._path} lives twice")

    def _do(self, deed: str, hops: int) -> Awaitable[object] | None:
        act: Callable[..., Any] = getattr(self, f"_{deed}")
        return act(hops) if deed in ("ask", "request") else act()

    def _somebody(self) -> Ref[Soul]:
        return self.ctx.ref(self._story.rng.choice(self._story.names))

    def _nothing(self) -> None:
        """Most messages are harmless."""

    async def _sleep(self) -> None:
        await trio.sleep(self._story.rng.choice([0, 0.01, 0.5, 2]))

    def _crash(self) -> None:
        if self._story.chance(self._frailty * 4):
            raise self._story.trouble()

    def _refuse(self) -> None:
        raise Refuse("not I")

    async def _group(self) -> None:
        """Two things at once, of which one fails: what comes out when all is cancelled meanwhile is a group of both."""
        if not self._story.chance(self._frailty * 4):
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fail_when_cancelled)
            await trio.sleep(self._story.rng.choice([0.1, 4]))
            nursery.cancel_scope.cancel()

    async def _fail_when_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise self._story.trouble()

    async def _ask(self, hops: int) -> None:
        if hops:
            await self._answered(lambda ask: self._somebody().ask(ask, within=self._within()), hops)

    async def _request(self, hops: int) -> None:
        if hops:
            await self._answered(lambda ask: self._somebody().request(ask), hops)

    async def _answered(self, send: Callable[[Asked], Awaitable[int]], hops: int) -> None:
        try:
            await send(self._story.asked(self._path, hops - 1))
        except RuntimeFault as fault:
            self._story.note("faulted", self._path, type(fault).__name__)
            self._story.look_through(fault)

    def _within(self) -> float | None:
        return self._story.rng.choice([None, 0.2, 3.0])

    def _tell(self) -> None:
        try:
            self._somebody().tell(self._story.said(self._path))
        except (MailboxFull, ActorStopped) as fault:
            self._story.note("faulted", self._path, type(fault).__name__)

    async def _put(self) -> None:
        try:
            await self._somebody().put(self._story.said(self._path), within=self._story.rng.choice([0.1, 2.0]))
        except (AskTimeout, AskCycle, ActorStopped) as fault:
            self._story.note("faulted", self._path, type(fault).__name__)

    def _after(self) -> None:
        timer = self.ctx.after(
            self._story.rng.choice([0, 0.2, 3]), Ticked("after", self._life), key=self._story.rng.choice(["a", "b"])
        )
        if self._story.chance(0.1):
            timer.cancel()

    def _every(self) -> None:
        self.ctx.every(self._story.rng.choice([0.2, 1]), Ticked("every", self._life), key="e")

    def _pipe(self) -> None:
        story = self._story

        async def work() -> str:
            try:
                await trio.sleep(story.rng.choice([0, 0.3, 4]))
            except trio.Cancelled:
                if not task.scope.cancel_called and story.mishap(self._frailty):
                    raise story.trouble() from None
                raise
            if story.chance(0.3):
                raise ValueError("the work failed")
            return "piped"

        def bad(error: Exception) -> Ticked:
            if story.chance(self._frailty * 2):
                raise story.trouble()
            return Ticked("failed", self._life)

        task = self.ctx.pipe(work(), lambda what: Ticked(what, self._life), bad)
        if story.chance(0.1):
            task.cancel()

    def _stop(self) -> None:
        if self._story.chance(0.1):
            self._story.note("stops itself", self._path)
            self.ctx.stop()

    def _watch(self) -> None:
        self.ctx.watch(self._somebody(), self._down)

    def _down(self, why: Exit) -> Ended:
        if self._story.chance(self._frailty):
            raise self._story.trouble()
        return Ended(why)

    async def _stubborn(self) -> None:
        """Ignores its cancellation, though not for ever."""
        if self._story.chance(0.1):
            with trio.CancelScope(shield=True):
                await trio.sleep(self._story.rng.choice([1, 10, 60]))


class Author:
    """Makes up the tree of a story."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._rng = story.rng
        self._count = 0
        self._frailty = self._rng.choice([0, 0.05, 0.2])

    def tree(self, parent: str = "", depth: int = 0) -> Supervisor:
        self._count += 1
        name = f"s{self._count}"
        path = f"{parent}/{name}" if parent else name
        children: list[Child[Any] | Supervisor] = [self.actor(path)]
        for _ in range(self._rng.randint(1, 3)):
            kind = self._rng.random()
            if kind < 0.55 or depth == 2:
                children.append(self.actor(path))
            elif kind < 0.75:
                children.append(self.tree(path, depth + 1))
            elif kind < 0.88:
                children.append(self.pool(path))
            else:
                children.append(self.dynamic())
        strategy = self._rng.choice(["one_for_one", "one_for_all", "rest_for_one"])
        return Supervisor(*children, strategy=strategy, intensity=self._intensity(), name=name)  # type: ignore[arg-type]

    def actor(self, path: str = "") -> Child[Soul]:
        """One that starts in order under ``path``, or a dynamic one."""
        self._count += 1
        name = Name[Soul](f"a{self._count}")
        self._story.names.append(name)
        options = self._options()
        if path:
            self._story.order.append(f"{path}/{name.value}")
        if options["mailbox"].overflow == "keep_latest":
            self._story.latest.add(name.value)
        return child(name, self._make, **options)

    def pool(self, path: str) -> Pool:
        self._count += 1
        name = Name[Soul](f"p{self._count}")
        self._story.names.append(name)
        size = self._rng.randint(1, 3)
        self._story.order += [f"{path}/{name.value}/{name.value}-{number}" for number in range(size)]
        options = self._options()
        options["intensity"] = self._intensity()
        if options["mailbox"].overflow == "keep_latest":
            self._story.latest |= {f"{name.value}-{number}" for number in range(size)}
        return Pool(name, self._make, size=size, route=self._rng.choice([round_robin, least_loaded]), **options)

    def dynamic(self) -> Dynamic:
        self._count += 1
        name = Name[Spawner](f"d{self._count}")
        self._story.spawners.append(name)
        return Dynamic(name, intensity=self._intensity(), children_max=self._rng.choice([1, 3, 100]))

    def _make(self) -> Player:
        if self._story.chance(self._frailty / 10):
            raise self._story.trouble()
        return Player(self._story, self._frailty)

    def _intensity(self) -> Intensity:
        return self._rng.choice([Intensity(1, 1), Intensity(5, 30), Intensity(1000, 1)])

    def _options(self) -> dict[str, Any]:
        return {
            "restart": self._rng.choice(["permanent", "permanent", "transient", "temporary"]),
            "shutdown": self._rng.choice([0.1, 5.0]),
            "start_within": self._rng.choice([2.0, 30.0, 30.0]),
            "mailbox": Mailbox(
                self._rng.choice([1, 4, 1024]), self._rng.choice(["fail", "fail", "drop_oldest", "keep_latest"])
            ),
            "backoff": Backoff(first_s=self._rng.choice([0.0, 0.05, 2.0]), jitter=self._rng.choice([0, 0.2])),
            "intensity": self._rng.choice([None, None, Intensity(1, 10)]),
        }


class Crowd:
    """People outside of the system who tell, put and ask, and expect each ask to end in time."""

    def __init__(self, story: Story, system: System, author: Author) -> None:
        self._story = story
        self._rng = story.rng
        self._system = system
        self._author = author

    async def talk(self, who: str) -> None:
        """Say something now and then."""
        for _ in range(self._rng.randint(1, 60)):
            await trio.sleep(self._rng.choice([0, 0, 0.01, 0.2, 1]))
            try:
                ref = self._system.ref(self._rng.choice(self._story.names))
            except KeyError:
                continue  # a dynamic child that has ended, or is not there yet
            await self._say(who, ref)
            if self._story.events[-1][1] == "over" or (
                self._story.events[-1][3] == "ActorStopped" and self._story.chance(0.2)
            ):
                return

    async def _say(self, who: str, ref: Ref[Soul]) -> None:
        kind = self._rng.random()
        try:
            if kind < 0.5:
                ref.tell(self._story.said(who))
            elif kind < 0.7:
                await self._in_time(ref.put(self._story.said(who), within=2.0), 2.0)
            else:
                within = self._rng.choice([0.1, 1.0, 5.0])
                asked = self._story.asked(who, self._rng.randint(0, 2))
                assert await self._in_time(ref.ask(asked, within=within), within) == asked.number
        except (RuntimeFault, Trouble) as fault:
            self._story.note("faulted", who, type(fault).__name__)
            self._story.look_through(fault)

    async def _in_time(self, doing: Awaitable[Any], within: float) -> Any:
        until = trio.current_time() + within
        try:
            return await doing
        finally:
            if trio.current_time() > until + 1e-6:
                self._story.broken.append(f"an ask or a put ended {trio.current_time() - until} s after its deadline")

    async def spawn(self) -> None:
        """Have children started now and then."""
        for _ in range(self._rng.randint(0, 5)):
            await trio.sleep(self._rng.choice([0, 0.5, 3]))
            try:
                await self._system.ref(self._rng.choice(self._story.spawners)).ask(Spawn(self._author.actor()))
            except (RuntimeFault, Trouble) as fault:
                self._story.note("faulted", "spawner", type(fault).__name__)
                self._story.look_through(fault)

    async def look(self) -> None:
        """At quiet moments all messages are accounted for, in sum and one by one."""
        for _ in range(6):
            await trio.sleep(self._rng.choice([0.5, 2, 5]))
            await trio.testing.wait_all_tasks_blocked()
            self.count()

    def count(self) -> None:
        lost = {each.path: each.unaccounted for each in self._system.tree().walk() if each.unaccounted}
        if lost or self._system.statistics().unaccounted:
            self._story.broken.append(f"unaccounted at {trio.current_time()}: {self._system.statistics()} {lost}")


async def _play(story: Story) -> None:
    living = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as watched:
        watched.start_soon(_watch, story)
        await _run(story, Author(story))
        watched.cancel_scope.cancel()
    if trio.lowlevel.current_statistics().tasks_living != living:
        story.broken.append("a task was left behind")


async def _run(story: Story, author: Author) -> None:
    tree, rng = author.tree(), story.rng
    systems: list[System] = []
    story.ending = rng.choice(["leave", "stop", "stop twice", "cancel", "cancel", "raise"])

    def hear(crash: Crash) -> None:
        story.note("crashed", crash.path, type(crash.error).__name__)
        story.look_through(crash.error)
        if isinstance(crash.error, AssertionError):
            story.broken.append(f"the runtime contradicts itself: {crash.error}")
        if story.mishap(0.02):
            raise story.trouble()

    def bury(letter: object) -> None:
        """Dead letters are counted by the runtime; once the system is over, what this raises is the teller's."""
        if story.mishap(0.01):
            raise story.trouble()

    async with trio.open_nursery() as outside:
        scope = trio.CancelScope()
        if story.ending == "cancel":
            scope.deadline = trio.current_time() + rng.choice(
                [0, rng.uniform(0, 3), rng.uniform(0, LIFE_S), rng.uniform(0, LIFE_S)]
            )
        try:
            with scope:
                async with open_system(
                    tree,
                    drain=rng.choice([0.0, 2.0, 60.0]),
                    seed=rng.randrange(1000),
                    on_crash=hear,
                    on_dead_letter=bury,
                ) as system:
                    systems.append(system)
                    crowd = Crowd(story, system, author)
                    story.note("ready", "")
                    for number in range(rng.randint(1, 4)):
                        outside.start_soon(crowd.talk, f"c{number}")
                    if story.spawners:
                        outside.start_soon(crowd.spawn)
                    outside.start_soon(crowd.look)
                    await _end(story, system, outside)
        except (SystemFailed, Trouble, ExceptionGroup) as failure:
            story.look_through(failure)
            story.note("failed" if isinstance(failure, SystemFailed) else "raised", "")
        story.note("over", "")
        for each in systems:
            outside.start_soon(_count_at_last, Crowd(story, each, author))


async def _watch(story: Story) -> None:
    """A story that does not come to an end cannot be cancelled either: its tree is shielded. So its clock breaks."""
    await trio.sleep(LATE_S)
    story.broken.append("it never ended")
    clock: Any = trio.lowlevel.current_clock()
    clock.current_time = clock.deadline_to_sleep_time = _broken_clock
    await trio.lowlevel.checkpoint()


def _broken_clock(*_: object) -> float:
    raise RuntimeError("the story is broken off")


async def _count_at_last(crowd: Crowd) -> None:
    await trio.testing.wait_all_tasks_blocked()
    crowd.count()


async def _end(story: Story, system: System, outside: trio.Nursery) -> None:
    rng = story.rng
    await trio.sleep(rng.choice([0, rng.uniform(0, 1), rng.uniform(0, LIFE_S), rng.uniform(0, LIFE_S)]))
    story.note("ends", "", story.ending)
    if story.ending == "raise":
        raise story.trouble()
    if story.ending.startswith("stop"):
        system.stop()
    if story.ending == "stop twice":
        await trio.sleep(rng.choice([0, 1, 4]))
        system.stop(drain=0)
    if story.ending == "cancel":
        await trio.sleep_forever()


def play(seed: int) -> Story:
    """Tell the story of a seed."""
    stories: list[Story] = []

    async def main(rng: Random) -> None:
        stories.append(Story(seed, rng))
        await _play(stories[0])

    try:
        simulate(main, seed)
    except trio.TrioInternalError:
        assert stories[0].broken, f"seed {seed} broke trio"
    return stories[0]


def faults_of(story: Story) -> list[str]:
    """Every law that a story breaks, in a sentence each."""
    return [
        *story.broken,
        *_out_of_order(story),
        *_at_work_while_broken(story),
        *_stopped_out_of_order(story),
        *[f"trouble {number} was lost" for number in sorted(story.raised - story.found)],
    ]


def _out_of_order(story: Story) -> Iterator[str]:
    """Messages of one sender to one actor are handled in the order in which they were sent, also across restarts."""
    last: dict[tuple[str, str, str], int] = {}
    for _, what, path, more in story.events:
        if what == "handled":
            sender, number, kind = more.split()
            by_kind = path.rpartition("/")[2] in story.latest
            key = (sender, path, kind if by_kind else "")
            if int(number) <= last.get(key, 0):
                yield f"{path} handled {more} after {last[key]}"
            last[key] = int(number)


def _at_work_while_broken(story: Story) -> Iterator[str]:
    """Nothing is handled between a crash and the end of the next start."""
    broken: set[str] = set()
    for at, what, path, more in story.events:
        if what == "crashed" and more not in ("Killed", "Wedged"):
            broken.add(path)
        elif what == "started":
            broken.discard(path)
        elif what in ("handled", "ticked", "heard") and path in broken:
            yield f"{path} handled {more} at {at}, before it had started again"


def _stopped_out_of_order(story: Story) -> Iterator[str]:
    """At the end all stop in the reverse of their order, unless a crash or their own will comes between."""
    begins = [number for number, event in enumerate(story.events) if event[1] == "ends"]
    if not begins or story.ending == "cancel":
        return
    after = story.events[begins[0] :]
    if any(what in ("crashed", "failed") for _, what, _, _ in after):
        return
    unruly = {path for _, what, path, _ in story.events if what == "stops itself"}
    stops = [path for _, what, path, _ in after if what == "stopping" and path in story.order and path not in unruly]
    if stops != sorted(stops, key=story.order.index, reverse=True):
        yield f"stopped in the order {stops}"
