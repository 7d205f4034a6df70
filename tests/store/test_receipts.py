"""Requests that take effect once: a deed and its receipt go together, whatever comes between."""

from __future__ import annotations

import pytest
import trio

from etlplus.errors import Conflict, Invalid
from etlplus.jobs.model import JobDraft, NewRun
from etlplus.jobs.queues import QueueDraft, QueueMode
from etlplus.jobs.receipts import KEPT_S, Again, Answer, Once, judge
from etlplus.jobs.retention import Keep
from etlplus.store.contract import Store
from etlplus.testing.stores import NOW, a_job, at, some_runs


def asked(key: str = "k", *, seconds: float = 0, principal: str = "ada", fingerprint: str = "f") -> Once:
    return Once(principal=principal, key=key, route="POST /x", fingerprint=fingerprint, at=at(seconds))


async def test_a_request_takes_effect_once(store: Store) -> None:
    """The second deed with a key is refused whatever it is, and changes nothing; other askers and keys go on."""
    await store.save_queue(QueueDraft(name="q"), now=NOW)
    await store.once(asked()).set_queue_mode("q", QueueMode.PAUSED, now=NOW)
    with pytest.raises(Conflict) as again:
        await store.once(asked()).set_queue_mode("q", QueueMode.OPEN, now=NOW)
    assert again.value.reason == "already_done"
    assert [each.queue.mode for each in await store.queues() if each.queue.name == "q"] == [QueueMode.PAUSED]
    for other in (asked("other"), asked(principal="eve")):
        await store.once(other).set_queue_mode("q", QueueMode.OPEN, now=NOW)


async def test_a_refused_request_leaves_no_receipt(store: Store) -> None:
    """What changed nothing may be asked again, with the same key."""
    with pytest.raises(Invalid):
        await store.once(asked()).save_job(JobDraft(name="j", queue="nowhere", pipeline={}), now=NOW)
    assert await store.receipt(asked()) is None
    await store.once(asked()).save_job(JobDraft(name="j", pipeline={}), now=NOW)
    assert await store.receipt(asked()) is not None


async def test_a_receipt_names_the_runs_that_were_made(store: Store) -> None:
    """In the order of the wishes, from the moment of the deed on, although no answer was kept yet."""
    job = await a_job(store)
    wish = NewRun(job_id=job.id, unique_key="u")
    (held,) = await store.enqueue([wish], now=NOW)
    made = await store.once(asked()).enqueue([NewRun(job_id=job.id), wish], now=NOW)
    receipt = await store.receipt(asked())
    assert receipt is not None
    assert receipt.made == tuple(run.id for run in made)
    assert receipt.made[1] == held.id
    assert (receipt.route, receipt.done_at, receipt.answer) == ("POST /x", NOW, None)


async def test_an_answer_is_kept_as_it_was(store: Store) -> None:
    """Status, headers and bytes; the first answer stays, and that to another request is not kept."""
    answer = Answer(status=201, headers={"ETag": '"1"'}, body=b'{"a":"\\u0000"}\0')
    await store.once(asked()).save_queue(QueueDraft(name="q"), now=NOW)
    await store.keep_answer(asked(fingerprint="other"), Answer(status=500))
    await store.keep_answer(asked(), answer)
    await store.keep_answer(asked(), Answer(status=500))
    receipt = await store.receipt(asked())
    assert receipt is not None
    assert receipt.answer == answer


async def test_an_answer_without_a_deed_is_a_receipt_too(store: Store) -> None:
    """A request that found nothing to change is not carried out later either."""
    await store.keep_answer(asked(), Answer(status=200))
    with pytest.raises(Conflict):
        await store.once(asked()).save_queue(QueueDraft(name="q"), now=NOW)


async def test_a_key_is_free_again_after_a_day(store: Store) -> None:
    """Nothing is found of it then, and another request may have it."""
    await store.once(asked()).save_queue(QueueDraft(name="q"), now=NOW)
    await store.keep_answer(asked(), Answer(status=200, body=b"old"))
    late = asked(seconds=KEPT_S, fingerprint="new")
    assert await store.receipt(late) is None
    await store.once(late).save_queue(QueueDraft(name="r"), now=at(KEPT_S))
    receipt = await store.receipt(late)
    assert receipt is not None
    assert (receipt.fingerprint, receipt.answer) == ("new", None)


async def test_of_many_at_once_one_takes_effect(store: Store) -> None:
    """However the same deed races with itself."""
    job = await a_job(store)
    refused = 0

    async def ask() -> None:
        nonlocal refused
        try:
            await store.once(asked()).enqueue([NewRun(job_id=job.id)], now=NOW)
        except Conflict:
            refused += 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert (refused, len(await store.runs())) == (19, 1)


async def test_expired_receipts_are_removed(store: Store) -> None:
    """The oldest first, and none that still counts."""
    for number in range(3):
        await store.keep_answer(asked(str(number), seconds=number), Answer(status=200))
    tidied = await store.tidy(Keep(), now=at(KEPT_S + 1), limit=1)
    assert (tidied.receipts_removed, tidied.more) == (1, True)
    assert (await store.tidy(Keep(), now=at(KEPT_S + 1))).receipts_removed == 1
    assert await store.receipt(asked("2", seconds=3)) is not None


async def test_asking_again_is_judged_by_what_was_asked_and_by_time(store: Store) -> None:
    """Another request, one under way, one whose answer was lost, one that is answered."""
    await some_runs(store.once(asked()), await a_job(store))
    receipt = await store.receipt(asked())
    assert receipt is not None
    assert judge(receipt, asked(fingerprint="g")) is Again.OTHER
    assert judge(receipt, asked(seconds=1)) is Again.UNDER_WAY
    assert judge(receipt, asked(seconds=31)) is Again.UNANSWERED
    await store.keep_answer(asked(), Answer(status=200))
    receipt = await store.receipt(asked())
    assert receipt is not None
    assert judge(receipt, asked(seconds=31)) is Again.SAME
