"""Idempotency-Key: asking again is harmless, for everything that a POST changes."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from house_kit import COMMAND, COMMAND_JSON, House

from etlplus.client import connect
from etlplus.errors import Conflict, NotFound, Unavailable
from etlplus.jobs.model import JobDraft
from etlplus.jobs.queues import QueueDraft
from etlplus.web.once import CARRIED_OUT_WITHIN_S, going_on
from etlplus.web.routes import ROUTES

PIPELINE = {
    "name": "n",
    "sources": {"n": {"type": "csv", "path": "n.csv"}},
    "sinks": [{"id": "out", "type": "sqlite", "input": "n", "path": "n.sqlite", "table": "t"}],
}
LONG_JOB = {"name": "n", "pipeline": PIPELINE}
"""It takes a while to be made: a process checks it."""
JOB = {"name": "n", "command": COMMAND_JSON}
HANG_S = 30.0
CHANGE_NOTHING = {"jobs.check", "schedules.preview"}
ABOUT_TOKENS = {"identity.bootstrap", "identity.sign_in", "identity.sign_out"}
"""What they answer must not be kept, or ends the very token that would ask again."""


async def post(house: House, path: str, key: str, body: Any = None) -> Any:
    headers = house.signed_in | {"Idempotency-Key": key}
    return await house.http.post(f"/api/v1{path}", json=body, headers=headers)


def test_every_post_that_changes_something_takes_a_key() -> None:
    """Those that change nothing need none, and those about tokens cannot have one."""
    posts = {route.name for route in ROUTES if route.method == "POST"}
    assert {route.name for route in ROUTES if route.keyed} == posts - CHANGE_NOTHING - ABOUT_TOKENS


async def test_the_same_request_has_the_same_answer(house: House) -> None:
    """To the byte, with its ETag, however the JSON was written and the key was quoted; a header says that it is a replay."""
    first = await post(house, "/jobs", "k", JOB)
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
    await house.http.post("/api/v1/jobs/n/schedule/pause", headers=house.signed_in)
    for key, body in (("k", JOB), ('"k"', dict(reversed(JOB.items())))):
        again = await post(house, "/jobs", key, body)
        assert (again.status_code, again.content, again.headers["ETag"]) == (201, first.content, '"1"')
        assert again.headers["Idempotency-Replayed"] == "true"


async def test_another_request_with_the_key_is_refused(house: House) -> None:
    """Another body, another path, another route: the problem says what the key was used for. Another user has own keys."""
    await house.service.queues.save(QueueDraft(name="a"))
    await post(house, "/queues/a/pause", "k")
    for path, body in (("/queues/a/resume", None), ("/queues/default/pause", None), ("/jobs", JOB)):
        other = await post(house, path, "k", body)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
        assert other.json()["errors"][0]["message"] == "it was for POST /api/v1/queues/a/pause"
    assert (await house.service.queues.get("a")).queue.mode == "paused"
    assert (await house.service.queues.get("default")).queue.mode == "open"
    assert (await house.service.jobs.list()).items == []


async def test_a_key_that_is_none_is_refused(house: House) -> None:
    """Empty, too long, or not printable."""
    for key in ("", '""', "x" * 201, "ü"):
        answer = await house.http.post(
            "/api/v1/queues/default/pause",
            headers=[*house.signed_in.items(), ("Idempotency-Key", key.encode("latin-1"))],
        )
        assert (answer.status_code, answer.json()["errors"][0]["suggestion"]) == (
            422,
            "1 to 200 printable ASCII characters",
        )


async def test_a_refused_request_may_be_asked_again(house: House) -> None:
    """It has changed nothing, so its key is still free."""
    assert (await post(house, "/jobs", "k", JOB | {"queue": "later"})).status_code == 422
    await house.service.queues.save(QueueDraft(name="later"))
    made = await post(house, "/jobs", "k", JOB | {"queue": "later"})
    assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)


async def test_a_request_that_finds_nothing_to_change_is_not_carried_out_later(house: House) -> None:
    """A pause of what is paused, asked again after somebody has resumed it, does not pause."""
    await house.service.jobs.create(JobDraft(name="n", command=COMMAND, paused=True))
    first = await post(house, "/jobs/n/schedule/pause", "k")
    await house.service.schedules.resume("n")
    assert (await post(house, "/jobs/n/schedule/pause", "k")).content == first.content
    assert not (await house.service.jobs.get("n")).paused


async def test_of_many_at_once_one_is_carried_out(house: House) -> None:
    """The others are answered as it was, or told to wait for its answer."""
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await post(house, "/jobs", "race", LONG_JOB))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask)
    fresh = [each for each in answers if each.status_code == 201 and "Idempotency-Replayed" not in each.headers]
    waiting = [each for each in answers if each.status_code == 409]
    assert len(fresh) == 1
    assert {each.content for each in answers if each.status_code == 201} == {fresh[0].content}
    assert {(each.json()["code"], each.headers["Retry-After"]) for each in waiting} <= {("idempotency_under_way", "1")}


async def test_who_goes_away_before_the_answer_finds_it_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """He goes while the deed is under way: it is carried out though nobody asks again, and its answer is kept for who does."""
    begun, gone = trio.Event(), trio.Event()
    store = house.service.house.store
    once = store.once

    def slow(request: Any) -> Any:
        deeds = once(request)
        save_job = deeds.save_job

        async def slow_save_job(*args: Any, **kwargs: Any) -> Any:
            begun.set()
            await gone.wait()
            return await save_job(*args, **kwargs)

        deeds.save_job = slow_save_job
        return deeds

    monkeypatch.setattr(store, "once", slow)
    body = msgspec.json.encode(JOB)
    head = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {house.token}\r\nIdempotency-Key: k\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with trio.fail_after(HANG_S):
        stream = await house.raw()
        await stream.send_all(head.encode() + body)
        await begun.wait()
        await stream.aclose()
        for _ in range(3):  # meanwhile the daemon hears that he is gone
            await house.http.get("/api/health")
        gone.set()
        while not (jobs := (await house.service.jobs.list()).items):  # noqa: ASYNC110 - the store tells nobody
            await trio.sleep(0.01)
        while (found := await post(house, "/jobs", "k", JOB)).status_code == 409:
            assert found.json()["code"] == "idempotency_under_way"
    assert (found.status_code, found.headers["Idempotency-Replayed"]) == (201, "true")
    assert (found.json()["id"], found.json()["version"]) == (jobs[0].id, 1)
    assert [job.id for job in (await house.service.jobs.list()).items] == [jobs[0].id]


@pytest.mark.parametrize(("deed_s", "done"), [(9.0, True), (11.0, False)])
async def test_the_time_of_a_deed_counts_from_when_nobody_waits(
    autojump_clock: trio.testing.MockClock, deed_s: float, done: bool
) -> None:
    """While its asker waits, a busy machine may take an hour; from when he is gone it is done soon, or cut."""
    async with going_on():
        await trio.sleep(3600)
    ended = False
    with trio.move_on_after(60):
        async with going_on():
            await trio.sleep(60 + deed_s)
            ended = True
    assert ended is done
    assert trio.current_time() == pytest.approx(3600 + 60 + min(deed_s, CARRIED_OUT_WITHIN_S))


def lose_answers(house: House, *, seconds_ago: float) -> None:
    """Leave the store as a daemon leaves it that is killed between a deed and its answer."""
    with sqlite3.connect(house.service.house.data_dir / "store.sqlite") as db:
        db.execute(
            "UPDATE receipt SET status = NULL, headers = NULL, body = NULL, done_at = done_at - ?", (seconds_ago,)
        )
    db.close()


async def test_a_deed_whose_answer_was_lost_is_not_done_again(house: House) -> None:
    """At first the answer may still come; later it is said that the deed was done and the answer is lost."""
    assert (await post(house, "/jobs", "k", JOB)).status_code == 201
    lose_answers(house, seconds_ago=0)
    early = await post(house, "/jobs", "k", JOB)
    assert (early.status_code, early.json()["code"]) == (409, "idempotency_under_way")
    assert early.headers["Retry-After"] == "1"
    lose_answers(house, seconds_ago=60)
    late = await post(house, "/jobs", "k", JOB)
    assert (late.status_code, late.json()["code"]) == (409, "idempotency_unanswered")
    assert "Retry-After" not in late.headers
    assert len((await house.service.jobs.list()).items) == 1


async def test_run_starts_are_answered_with_their_runs_even_then(house: House) -> None:
    """Which runs a request made is part of the deed."""
    await house.service.queues.pause("default")
    await house.service.jobs.create(JobDraft(name="n", command=COMMAND))
    one = (await post(house, "/jobs/n/runs", "one", {"unique_key": "u"})).json()
    two = (await post(house, "/runs", "two", {"runs": [{"job": "n"}, {"job": "n"}]})).json()
    lose_answers(house, seconds_ago=0)
    again = await post(house, "/jobs/n/runs", "one", {"unique_key": "u"})
    assert (again.status_code, again.json()["id"], again.headers["Idempotency-Replayed"]) == (202, one["id"], "true")
    many = (await post(house, "/runs", "two", {"runs": [{"job": "n"}, {"job": "n"}]})).json()
    assert (many["run_ids"], many["made"], many["existing"]) == (two["run_ids"], 0, 2)
    assert len((await house.service.runs.list()).items) == 3


@asynccontextmanager
async def a_bad_line(house: House, cuts: int) -> AsyncGenerator[str]:
    """An address where the first ``cuts`` requests reach the daemon and their answers never come back."""
    left = cuts

    async def carry(client: trio.SocketStream) -> None:
        nonlocal left
        daemon = await house.raw()
        async with client, daemon, trio.open_nursery() as nursery:
            cut, left = left > 0, left - 1

            async def forth() -> None:
                async for data in client:
                    await daemon.send_all(data)
                nursery.cancel_scope.cancel()

            async def back() -> None:
                async for data in daemon:
                    if cut:
                        break
                    await client.send_all(data)
                nursery.cancel_scope.cancel()

            nursery.start_soon(forth)
            nursery.start_soon(back)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, carry, 0)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_the_client_asks_again_when_the_line_is_cut(house: House) -> None:
    """With the same key, which it makes itself: the deed is done once, and its first answer arrives."""
    async with a_bad_line(house, cuts=2) as url, connect(url, token=house.token) as client:
        assert (await client.jobs.create(JobDraft(name="n", command=COMMAND))).version == 1
    assert [job.name for job in (await house.service.jobs.list()).items] == ["n"]


async def test_each_call_of_the_client_is_a_request_of_its_own(house: House) -> None:
    """Two calls for the same thing have two keys, and the second is refused by the deed of the first."""
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        await client.jobs.create(JobDraft(name="n", command=COMMAND))
        with pytest.raises(Conflict, match="another job is called"):
            await client.jobs.create(JobDraft(name="n", command=COMMAND))


async def test_what_has_no_key_is_not_asked_again(house: House) -> None:
    """A change that names a version, whose answer was lost, is told as it is."""
    await house.service.jobs.create(JobDraft(name="n", command=COMMAND))
    async with a_bad_line(house, cuts=1) as url, connect(url, token=house.token) as client:
        with pytest.raises(Unavailable) as lost:
            await client.jobs.delete("n", expected_version=1)
    assert lost.value.reason == "connection_lost"


async def test_an_error_leaves_the_client_as_it_is(house: House) -> None:
    """Who waits for an error of ours around the client need not look into a group."""
    with pytest.raises(NotFound):
        async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
            await client.jobs.get("nowhere")


async def test_where_there_is_no_daemon_nobody_waits_for_one(tmp_path: Path, house: House) -> None:
    """A connection that never was cannot have carried anything: it is said at once."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with connect(url, token=house.token) as client:
            with pytest.raises(Unavailable) as nobody:
                await client.queues.pause("default")
    assert nobody.value.reason == "unavailable"
