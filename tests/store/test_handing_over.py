"""The exam on slots that pass from a run that ends to the next in line: never twice, never past somebody who waits for one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest
import trio

from etlplus.jobs.outcome import Result
from etlplus.jobs.queues import HOUSE, LimitDraft, LimitUse, QueueDraft, QueueMode
from etlplus.jobs.rates import Rate
from etlplus.store.contract import Claimed, HandedOver, Outcome, Store
from etlplus.testing.stores import BROKEN, DONE, NOW, a_claim, a_job, a_worker, all_told, at, some_runs


def outcomes(claimed: Sequence[Claimed], result: Result = DONE) -> list[Outcome]:
    """One result for all these attempts, told by whoever claimed them."""
    return [
        Outcome(run_id=each.run.id, attempt=each.run.attempt, worker_id=each.run.worker_id or "", result=result)
        for each in claimed
    ]


async def handed_over(store: Store, ended: Sequence[Claimed], *, limit: int = 9, seconds: float = 1) -> HandedOver:
    return await store.hand_over(outcomes(ended), worker_id="w", limit=limit, now=at(seconds))


def freed(handed: HandedOver) -> bool:
    return any(each.freed for each in handed.settled)


async def held_of(store: Store, slots: int, runs: int) -> list[Claimed]:
    """What a worker holds under a limit of so many slots over the house, when there are so many runs."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=slots), now=NOW)
    await a_worker(store)
    await some_runs(store, await a_job(store), runs)
    return await a_claim(store, limit=9)


async def test_the_next_in_line_get_the_slots(store: Store) -> None:
    """Best rank first; nobody is told of free slots, as there are none; and what nobody wants is free."""
    first = await held_of(store, slots=2, runs=5)
    in_line = sorted(run.id for run in await store.runs() if run.worker_id is None)
    second = await handed_over(store, first)
    assert [each.applied for each in second.settled] == [True, True]
    assert [each.run.id for each in second.taken.claimed] == in_line[:2]
    assert all((each.run.worker_id, each.run.attempt) == ("w", 1) for each in second.taken.claimed)
    assert (freed(second), await a_claim(store, limit=9)) == (False, [])
    third = await handed_over(store, second.taken.claimed)
    assert ([each.run.id for each in third.taken.claimed], freed(third)) == (in_line[2:], True)
    last = await handed_over(store, third.taken.claimed)
    assert (last.taken.claimed, freed(last)) == ([], True)
    assert (await store.counts()).runs["succeeded"] == 5


async def test_no_more_are_taken_than_are_wanted(store: Store) -> None:
    """The other slots are free."""
    first = await held_of(store, slots=3, runs=9)
    handed = await handed_over(store, first, limit=2)
    assert (len(handed.taken.claimed), freed(handed)) == (2, True)
    assert len(await a_claim(store, limit=9)) == 1


async def test_what_is_handed_over_ends_like_anything_else(store: Store) -> None:
    """Its history tells of the claim, its fence holds, and its slot is free afterwards."""
    first = await held_of(store, slots=1, runs=2)
    (second,) = (await handed_over(store, first)).taken.claimed
    await all_told(store, [second], seconds=2)
    told = [(event.kind, event.attempt) for event in await store.events(second.run.id)]
    assert told == [("enqueued", 0), ("claimed", 1), ("succeeded", 1)]
    (again,) = await store.acknowledge(outcomes([second], BROKEN), now=at(3))
    assert not again.run or again.run.state.is_final
    await some_runs(store, await a_job(store, name="another"), 1)
    assert len(await a_claim(store, limit=9, seconds=3)) == 1


async def test_the_slots_of_a_queue_pass_with_those_of_the_house(store: Store) -> None:
    """All that the one run held, the next one holds."""
    await store.save_queue(QueueDraft(name="narrow", slots=1), now=NOW)
    await store.save_limit(LimitDraft(name=HOUSE, slots=5), now=NOW)
    await a_worker(store)
    await some_runs(store, await a_job(store, queue="narrow"), 3)
    first = await a_claim(store, limit=9)
    second = await handed_over(store, first)
    assert (len(first), len(second.taken.claimed)) == (1, 1)
    assert await a_claim(store, limit=9) == []
    await all_told(store, second.taken.claimed)
    assert len(await a_claim(store, limit=9)) == 1


Arrange = Callable[[Store], Awaitable[object]]


async def another_queue(store: Store) -> None:
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    await some_runs(store, await a_job(store, name="other", queue="other"), 1)


async def another_kind(store: Store) -> None:
    await some_runs(store, await a_job(store, name="call", python="call", pipeline=None), 1)


async def a_key(store: Store) -> None:
    await store.save_limit(LimitDraft(name="key", slots=5), now=NOW)
    await some_runs(store, await a_job(store, name="keyed", limit=LimitUse("key")), 1)


async def labels_that_we_lack(store: Store) -> None:
    await some_runs(store, await a_job(store, name="labelled", labels=("gpu",)), 1)


@pytest.mark.parametrize("who", [another_queue, another_kind, a_key, labels_that_we_lack])
async def test_where_others_wait_too_the_slots_are_free(store: Store, who: Arrange) -> None:
    """Else they would wait for ever: the outcomes are settled, and whoever claims next has a chance."""
    first = await held_of(store, slots=2, runs=9)
    await who(store)
    handed = await handed_over(store, first)
    assert ([each.applied for each in handed.settled], handed.taken.claimed) == ([True, True], [])
    assert freed(handed)


async def the_queue_is_paused(store: Store) -> None:
    await store.set_queue_mode("default", QueueMode.PAUSED, now=NOW)


async def the_worker_is_lost(store: Store) -> None:
    await store.beat("w", now=NOW, expires_at=at(0.5))


@pytest.mark.parametrize("what", [the_queue_is_paused, the_worker_is_lost])
async def test_what_may_not_be_claimed_is_not_handed_over(store: Store, what: Arrange) -> None:
    """The outcomes are settled all the same."""
    first = await held_of(store, slots=2, runs=9)
    await what(store)
    handed = await handed_over(store, first)
    assert ([each.applied for each in handed.settled], handed.taken.claimed) == ([True, True], [])
    assert freed(handed)


async def test_a_rate_is_kept(store: Store) -> None:
    """One begins, since there was a token for one."""
    first = await held_of(store, slots=2, runs=9)
    await store.save_limit(LimitDraft(name=HOUSE, slots=2, rate=Rate(count=1, per_s=86_400)), now=NOW)
    handed = await handed_over(store, first)
    claimed = (await store.claim("w", limit=9, now=at(1))).claimed
    assert len(handed.taken.claimed) + len(claimed) == 1


async def test_a_lowered_limit_is_kept(store: Store) -> None:
    """Those above it hand nothing over, until there are no more than it allows."""
    first = await held_of(store, slots=4, runs=20)
    await store.save_limit(LimitDraft(name=HOUSE, slots=2), now=NOW)
    in_hand = {each.run.id for each in first}
    for each in first:
        handed = await handed_over(store, [each])
        in_hand = (in_hand - {each.run.id}) | {one.run.id for one in handed.taken.claimed}
    in_hand |= {each.run.id for each in await a_claim(store, limit=9)}
    assert len(in_hand) == 2


@pytest.mark.parametrize("slots", [1, 2, 4, None])
async def test_a_limit_that_was_changed_meanwhile_counts(store: Store, slots: int | None) -> None:
    """Raised, lowered, set or deleted while runs were in hand: afterwards as many are as it allows."""
    await a_worker(store)
    job = await a_job(store)
    if slots != 2:
        await store.save_limit(LimitDraft(name=HOUSE, slots=2), now=NOW)
    await some_runs(store, job, 20)
    first = await a_claim(store, limit=2)
    if slots is None:
        await store.delete_limit(HOUSE, now=NOW)
    else:
        await store.save_limit(LimitDraft(name=HOUSE, slots=slots), now=NOW)
    handed = await handed_over(store, first, limit=9)
    claimed = [*handed.taken.claimed, *await a_claim(store, limit=9 - len(handed.taken.claimed))]
    assert len(claimed) == (slots or 9)


async def test_what_failed_is_settled_in_the_ordinary_way(store: Store) -> None:
    """Some of it waits for its next attempt, and the slots go on or are free."""
    first = await held_of(store, slots=2, runs=5)
    mixed = [*outcomes(first[:1]), *outcomes(first[1:], BROKEN)]
    handed = await store.hand_over(mixed, worker_id="w", limit=9, now=at(1))
    assert [each.applied for each in handed.settled] == [True, True]
    assert len(handed.taken.claimed) + len(await a_claim(store, limit=9, seconds=1)) == 2


async def test_an_answer_that_was_lost_is_given_again(store: Store) -> None:
    """Told again, the outcomes are known, and what was taken with the lost answer is still held, once."""
    first = await held_of(store, slots=2, runs=9)
    lost = await handed_over(store, first)
    again = await handed_over(store, first)
    assert [each.applied for each in again.settled] == [True, True]
    assert (again.taken.claimed, await a_claim(store, limit=9)) == ([], [])
    await all_told(store, lost.taken.claimed)


async def test_a_stranger_hands_nothing_over(store: Store) -> None:
    """What was rescued meanwhile is stale, and its slot is not the worker's to give."""
    first = await held_of(store, slots=2, runs=9)
    await store.rescue(now=at(1), dead=["w"])
    await a_worker(store, "other")
    second = await a_claim(store, worker="other", limit=9, seconds=1)
    handed = await handed_over(store, first)
    assert ([each.applied for each in handed.settled], handed.taken.claimed) == ([False, False], [])
    assert len(second) == 2


@pytest.mark.slow
async def test_however_many_hand_over_at_once_no_limit_is_exceeded(store: Store) -> None:
    """Six workers, some of which hand over and some of which do not: never more than the slots, and everything gets done."""
    await store.save_limit(LimitDraft(name=HOUSE, slots=7), now=NOW)
    await store.save_queue(QueueDraft(name="narrow", slots=5), now=NOW)
    await some_runs(store, await a_job(store, queue="narrow"), 90)
    in_hand: set[str] = set()
    done: set[str] = set()

    def begun(claimed: Sequence[Claimed]) -> Sequence[Claimed]:
        ids = {each.run.id for each in claimed}
        assert not ids & (in_hand | done)
        in_hand.update(ids)
        assert len(in_hand) <= 5
        return claimed

    async def work(name: str, hands_over: bool) -> None:
        await a_worker(store, name, expires_s=1000)
        while len(done) < 90:
            claimed = begun((await store.claim(name, limit=2, now=at(1))).claimed)
            while claimed:
                await trio.lowlevel.checkpoint()
                ended = {each.run.id for each in claimed}
                in_hand.difference_update(ended)
                done.update(ended)
                if hands_over:
                    handed = await store.hand_over(outcomes(claimed), worker_id=name, limit=2, now=at(1))
                    claimed = begun(handed.taken.claimed)
                else:
                    await all_told(store, claimed)
                    claimed = []

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(work, f"w{number}", number % 3 > 0)
    assert (await store.counts()).runs["succeeded"] == 90
