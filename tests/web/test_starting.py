"""Asking for runs over REST: later, once, by the thousand; what cannot be is refused and nothing is stored."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from house_kit import House, open_house

from etlplus.client import Client, connect
from etlplus.errors import Invalid, NotFound
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import JobDraft, NewRun, Uniqueness
from etlplus.jobs.queues import QueueDraft
from etlplus.jobs.rates import Rate
from etlplus.service.choosing import Letters
from etlplus.service.wishes import RunWish

BODY_MAX = 12_000_000


@pytest.fixture
async def paused(tmp_path: Path) -> AsyncGenerator[House]:
    """A house with a job whose queue gives out no runs."""
    (tmp_path / "n.csv").write_text("n\n1\n")
    sink = {"id": "out", "type": "sqlite", "input": "n", "path": str(tmp_path / "n.sqlite"), "table": "t"}
    sources = {"n": {"type": "csv", "path": str(tmp_path / "n.csv")}}
    async with open_house(tmp_path, body_max_bytes=BODY_MAX) as house:
        await house.service.queues.save(QueueDraft(name="still"))
        await house.service.queues.pause("still")
        await house.service.jobs.create(
            JobDraft(
                name="n",
                queue="still",
                pipeline={
                    "name": "n",
                    "sources": sources,
                    "sinks": [sink],
                    "params": {"n": 0, "day": "", "big": "", "a": ""},
                },
            )
        )
        yield house


async def start(house: House, body: Any, key: str | None = None, path: str = "/jobs/n/runs") -> Any:
    headers = house.signed_in | ({"Idempotency-Key": key} if key else {})
    return await house.http.post(f"/api/v1{path}", json=body, headers=headers)


async def stored(house: House) -> int:
    return len((await house.service.runs.list(limit=500)).items)


async def test_a_run_can_be_asked_for_later(paused: House) -> None:
    """It waits as scheduled, and says why it is not running."""
    run = (await start(paused, {"run_at": "2150-01-01T00:00:00Z", "params": {"day": "x"}})).json()
    assert (run["state"], run["run_at"], run["params"]) == ("scheduled", "2150-01-01T00:00:00Z", {"day": "x"})
    why = (await paused.http.get(f"/api/v1/runs/{run['id']}/why", headers=paused.signed_in)).json()
    assert [fact["kind"] for fact in why["facts"]][:2] == ["not_due", "queue_paused"]
    assert why["sentences"][0] == "Its time has not come: it is due at 2150-01-01 00:00:00Z."


async def test_a_run_may_have_a_priority_of_its_own(paused: House) -> None:
    """It goes before the job's, and among many too; out of bounds, it names the field and the rule, and nothing is stored."""
    runs = [(await start(paused, {"priority": priority})).json() for priority in (None, 0, 1000)]
    assert [run["priority"] for run in runs] == [0, 0, 1000]
    wishes = [{"job": "n", "priority": 7}, {"job": "n"}]
    made = (await start(paused, {"runs": wishes}, path="/runs")).json()["run_ids"]
    assert [(await paused.service.runs.get(run)).priority for run in made] == [7, 0]
    for body, path, pointer in (
        ({"priority": -1}, "/jobs/n/runs", "/priority"),
        ({"priority": 1001}, "/jobs/n/runs", "/priority"),
        ({"runs": [{"job": "n"}, {"job": "n", "priority": -1}]}, "/runs", "/runs/1/priority"),
    ):
        refused = await start(paused, body, path=path)
        (problem,) = refused.json()["errors"]
        assert (refused.status_code, problem["pointer"], "`int`" in problem["message"]) == (422, pointer, True)
    with pytest.raises(Invalid) as refused:
        await paused.service.runs.start("n", priority=-1)
    assert refused.value.problems[0].pointer == "/priority"
    assert await stored(paused) == 5


async def test_a_run_shows_what_it_was_asked_with(paused: House) -> None:
    """Its key, labels and what it replays; and of an idempotency key nothing."""
    await paused.service.jobs.create(
        JobDraft(name="gpu", queue="still", labels=("gpu",), command=Command(argv=("true",)))
    )
    keyed = (await start(paused, {"unique_key": "k"}, path="/jobs/gpu/runs")).json()
    assert (keyed["unique_key"], keyed["labels"], keyed["interval"], keyed["replay_of"]) == ("k", ["gpu"], None, None)
    once = (await start(paused, {}, key="secret", path="/jobs/gpu/runs")).json()
    assert once["unique_key"] is None
    job = await paused.service.jobs.get("gpu")
    wish = NewRun(job_id=job.id, replay_of=once["id"])
    (made,) = await paused.service.house.store.enqueue([wish], now=paused.service.house.now())
    shown = (await paused.http.get(f"/api/v1/runs/{made.id}", headers=paused.signed_in)).json()
    assert shown["replay_of"] == once["id"]


async def test_a_run_may_be_for_a_stretch_of_data(paused: House) -> None:
    """It is kept and shown, in UTC as all times are; asked again with a key for another stretch is another request."""
    stretch = ["2026-01-01T00:00:00+01:00", "2026-01-02T00:00:00+01:00"]
    shown = ["2025-12-31T23:00:00Z", "2026-01-01T23:00:00Z"]
    body = {"interval": stretch, "run_at": "2150-01-01T00:00:00+05:00"}
    run = (await start(paused, body)).json()
    assert (run["interval"], run["run_at"]) == (shown, "2149-12-31T19:00:00Z")
    made = (await start(paused, {"runs": [body | {"job": "n"}]}, path="/runs")).json()["run_ids"]
    answer = await paused.http.get(f"/api/v1/runs/{made[0]}", headers=paused.signed_in)
    assert (answer.json()["interval"], answer.json()["run_at"]) == (shown, "2149-12-31T19:00:00Z")
    first, day = datetime(2026, 1, 1, tzinfo=UTC), timedelta(days=1)
    async with connect(f"http://127.0.0.1:{paused.rest}", token=paused.token) as client:
        houses: tuple[Client, Any] = (client, paused.service)
        for number, facets in enumerate(houses):
            asked = [
                await facets.runs.start("n", interval=(first, first + day), idempotency_key=f"k{number}")
                for _ in range(2)
            ]
            assert {each.id for each in asked} == {asked[0].id}
            assert asked[0].interval == (first, first + day)
            with pytest.raises(Invalid) as refused:
                await facets.runs.start("n", interval=(first, first + 2 * day), idempotency_key=f"k{number}")
            assert refused.value.reason == "idempotency_mismatch"
            with pytest.raises(Invalid) as refused:
                await facets.runs.start("n", interval=(first, first))
            assert refused.value.problems[0].pointer == "/interval"


async def test_a_unique_key_answers_refuses_or_replaces(paused: House) -> None:
    """As the wish says; a refusal is a conflict."""
    first = (await start(paused, {"unique_key": "k", "params": {"n": 1}})).json()
    assert (await start(paused, {"unique_key": "k", "params": {"n": 2}})).json()["id"] == first["id"]
    replaced = {"unique_key": "k", "params": {"n": 3}, "unique": {"on_conflict": "replace"}}
    assert (await start(paused, replaced)).json()["params"] == {"n": 3}
    refused = await start(paused, {"unique_key": "k", "unique": {"on_conflict": "reject"}})
    assert (refused.status_code, refused.json()["code"]) == (409, "unique_key_taken")
    assert await stored(paused) == 1


async def test_an_idempotency_key_makes_asking_again_harmless(paused: House) -> None:
    """The same request has the same answer, even once the run has ended; another request with the key is refused. It goes
    together with a unique key.
    """
    first = (await start(paused, {"params": {"n": 1}}, key="abc")).json()
    await paused.service.runs.cancel(first["id"])
    again = await start(paused, {"params": {"n": 1}}, key="abc")
    assert again.json() == first
    other = await start(paused, {"params": {"n": 2}}, key="abc")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    strict = {"unique_key": "k", "unique": {"on_conflict": "reject"}}
    both, once_more = [await start(paused, strict, key="def") for _ in range(2)]
    assert (both.status_code, once_more.json()) == (202, both.json())
    assert await stored(paused) == 2


async def test_many_who_ask_at_once_with_one_key_get_one_run(paused: House) -> None:
    """However the same requests race, one of them makes the run and all are answered with it."""
    ids: set[str] = set()

    async def ask_once() -> None:
        ids.add((await start(paused, {"params": {"n": 1}}, key="race")).json()["id"])

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(ask_once)
    assert len(ids) == 1
    assert await stored(paused) == 1


async def test_ten_thousand_runs_are_made_by_one_request(paused: House) -> None:
    """All of them or none, with an answer of ids; asked again with the same key, none is made and the answer is the same."""
    body = {"runs": [{"job": "n", "params": {"n": n}} for n in range(10_000)]}
    made = (await start(paused, body, key="bulk", path="/runs")).json()
    assert (made["made"], made["existing"], len(set(made["run_ids"]))) == (10_000, 0, 10_000)
    again = (await start(paused, body, key="bulk", path="/runs")).json()
    assert again == made
    assert (await paused.service.queues.get("still")).queued == 10_000
    last = await paused.service.runs.get(made["run_ids"][-1])
    assert last.params == {"n": 9_999}


REFUSED: list[tuple[str, Any, int, str]] = [
    ("/jobs/n/runs", {"priority": -1}, 422, "/priority"),
    ("/jobs/n/runs", {"priorty": 1}, 422, ""),
    ("/jobs/n/runs", {"run_at": "2150-01-01T00:00:00"}, 422, "/run_at"),
    ("/jobs/n/runs", {"run_at": "9999-12-31T23:59:59Z"}, 422, "/run_at"),
    ("/jobs/n/runs", {"interval": ["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"]}, 422, "/interval"),
    ("/jobs/n/runs", {"interval": ["2026-01-02T00:00:00Z"]}, 422, "/interval"),
    ("/jobs/n/runs", {"interval": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00"]}, 422, "/interval/1"),
    ("/jobs/n/runs", {"interval": ["2026-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]}, 422, "/interval/1"),
    ("/jobs/n/runs", {"unique_key": ""}, 422, "/unique_key"),
    ("/jobs/n/runs", {"unique_key": "a\0b"}, 422, "/unique_key"),
    ("/jobs/n/runs", {"unique_key": "k", "unique": {"period_s": 0}}, 422, "/unique/period_s"),
    ("/jobs/n/runs", {"unique_key": "k", "unique": {"period_s": 1e12}}, 422, "/unique/period_s"),
    ("/jobs/n/runs", {"unique_key": "k", "unique": {"on_conflict": "fight"}}, 422, "/unique/on_conflict"),
    ("/jobs/n/runs", {"params": {"big": "x" * 10_000_000}}, 422, "/params"),
    ("/jobs/n/runs", {"params": {"big": "x" * 13_000_000}}, 413, ""),
    ("/runs", {"runs": []}, 422, "/runs"),
    ("/runs", {"runs": [{"job": "n"}] * 10_001}, 422, "/runs"),
    ("/runs", {"runs": [{"job": "n"}, {"job": "n", "run_at": "soon"}]}, 422, "/runs/1/run_at"),
    ("/runs", {"runs": [{"job": "n"}, {"job": "n", "params": {"big": "x" * 1_000_001}}]}, 422, "/runs/1/params"),
    ("/runs", {"runs": [{"job": "n", "params": {"big": "x" * 1_000_001}}]}, 422, "/runs/0/params"),
    ("/runs", {"runs": [{"job": "n"}, {"job": "nowhere"}]}, 422, "/runs/1/job"),
]


async def test_a_wish_that_cannot_be_is_refused_with_its_place(paused: House) -> None:
    """Of many wishes, one that cannot be is enough: nothing is stored."""
    for path, body, status, pointer in REFUSED:
        answer = await start(paused, body, path=path)
        assert answer.status_code == status, (path, str(body)[:80], answer.text[:200])
        if status == 422:
            assert answer.json()["errors"][0].get("pointer", "") == pointer, (str(body)[:80], answer.text[:200])
            assert answer.json()["errors"][0]["message"]
    assert await stored(paused) == 0


async def test_runs_are_listed_by_job_queue_and_state(paused: House) -> None:
    """Each filter narrows; a job, queue or state that is not there is refused."""
    run = (await start(paused, {})).json()
    for query, ids in (
        ("queue=still", [run["id"]]),
        ("queue=default", []),
        ("job=n&state=queued&queue=still", [run["id"]]),
    ):
        answer = await paused.http.get(f"/api/v1/runs?{query}", headers=paused.signed_in)
        assert [item["id"] for item in answer.json()["items"]] == ids
    for query, status in (("queue=nowhere", 422), ("job=nowhere", 404), ("state=asleep", 422), ("queue=a%00", 422)):
        answer = await paused.http.get(f"/api/v1/runs?{query}", headers=paused.signed_in)
        assert answer.status_code == status


async def test_the_client_asks_as_a_program_in_the_house_does(paused: House) -> None:
    """Both give the same runs, the same reasons and the same refusals."""
    async with connect(f"http://127.0.0.1:{paused.rest}", token=paused.token) as client:
        houses: tuple[Client, Any] = (client, paused.service)
        for facets in houses:
            run = await facets.runs.start("n", key="one", unique=Uniqueness(period_s=60.0))
            assert (await facets.runs.why(run.id)).facts[0].queue == "still"
            made = await facets.runs.start_many([RunWish(job="n", unique_key="one"), RunWish(job="n")])
            assert (made.made, made.existing, made.run_ids[0]) == (1, 1, run.id)
            assert [each.id for each in (await facets.runs.list(queue="still", limit=1)).items] == made.run_ids[1:]
            assert (await facets.runs.log(run.id)).items == []
            assert (await facets.runs.log_tail(run.id)).lines == 0
            with pytest.raises(NotFound):
                await facets.runs.log(run.id, attempt=1)
            with pytest.raises(Invalid) as refused:
                await facets.runs.start_many([RunWish(job="n", unique_key="")])
            assert refused.value.problems[0].pointer == "/runs/0/unique_key"
    with pytest.raises(Invalid):
        await paused.service.runs.start("n", {"at": object()})


async def test_the_log_of_an_attempt_is_read_in_pages_searched_and_seen_from_its_end(house: House) -> None:
    """Lines come in order; the cursor goes on where a page ended; what was dropped is told."""
    run = await _run_with_a_log(house, 25)
    paths = (
        "log?limit=10",
        "log?limit=10&cursor=10",
        "log?limit=10&cursor=20",
        "log?search=LINE%2013",
        "log/tail?limit=2",
    )
    pages = [(await house.http.get(f"/api/v1/runs/{run}/{path}", headers=house.signed_in)).json() for path in paths]
    assert [[line["number"] for line in page["items"]] for page in pages] == [
        [*range(1, 11)], [*range(11, 21)], [*range(21, 26)], [13], [24, 25]
    ]  # fmt: skip
    assert [page["next_cursor"] for page in pages] == ["10", "20", None, None, None]
    assert {(page["attempt"], page["lines"], page["dropped"]) for page in pages} == {(1, 25, 0)}
    for query, status in (
        ("limit=0", 422),
        ("limit=1001", 422),
        ("cursor=x", 422),
        ("attempt=2", 404),
        ("search=", 422),
    ):
        answer = await house.http.get(f"/api/v1/runs/{run}/log?{query}", headers=house.signed_in)
        assert answer.status_code == status, query


async def _run_with_a_log(house: House, lines: int) -> str:
    """A run that a worker of another kind carries, which has written some lines."""
    from datetime import timedelta

    from etlplus.jobs.logs import NewLine
    from etlplus.jobs.model import Worker

    store, now = house.service.house.store, house.service.house.now()
    job = await store.save_job(JobDraft(name="quiet", labels=("other",), pipeline={}), now=now)
    run = await house.service.runs.start(job.id)
    worker = Worker(
        id="other", node="other", pid=1, boot_id="b", started_at=now, beat_at=now,
        expires_at=now + timedelta(hours=1), slots=1, labels=("other",),
    )  # fmt: skip
    await store.join(worker, now=now)
    assert [claimed.run.id for claimed in (await store.claim("other", limit=1, now=now)).claimed] == [run.id]
    written = [NewLine(now, f"line {number}") for number in range(1, lines + 1)]
    await store.append_log(run.id, 1, "other", written, now=now)
    return run.id


def test_every_reason_has_a_plain_sentence() -> None:
    """No fact is told by its name alone, and the number of a thing decides its word."""
    from datetime import UTC, datetime

    from etlplus.jobs import explaining
    from etlplus.jobs.model import RunState
    from etlplus.service.why import sentence, why

    at = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    facts: dict[explaining.Fact, str] = {
        explaining.Over(RunState.FAILED): "It has ended: failed. It waits for nothing.",
        explaining.InHand("w", at): "It is running: worker w has carried it since 2030-01-02 03:04:05Z.",
        explaining.Ending(at): (
            "It was asked to end at 2030-01-02 03:04:05Z, and has not yet; until it does, it keeps its slots."
        ),
        explaining.NotDue(at): "Its time has not come: it is due at 2030-01-02 03:04:05Z.",
        explaining.WaitsForRuns(): "It waits for other runs to end.",
        explaining.QueuePaused("q"): "The queue 'q' is paused; somebody has to open it (etlplus queues resume q).",
        explaining.SlotsTaken("limit", "w/a", 2, 2, ("r1", "r2")): (
            "2 of 2 slots of the limit key 'w/a' are taken, by r1, r2."
        ),
        explaining.SlotsTaken("house", "*", 5, 5, ("a", "b", "c", "d", "e")): (
            "5 of 5 slots of the whole house are taken, by a, b, c and 2 more."
        ),
        explaining.RateSpent("limit", "crm/7", Rate(count=1000, per_s=60), at): (
            "The rate of the limit key 'crm/7' (1,000 in 60 s) is used up; the next token comes at "
            "2030-01-02 03:04:05.000000Z."
        ),
        explaining.RateSpent("house", "*", Rate(count=1), at): (
            "The rate of the whole house (1 in 1 s) is used up; the next token comes at 2030-01-02 03:04:05.000000Z."
        ),
        explaining.Unread(3, "it is not there"): (
            "Version 3 of its job, which it was made from, is set aside: it is not there. A node that starts looks again."
        ),
        explaining.NoWorker((), 0): "No worker is alive.",
        explaining.NoWorker(("gpu",), 1): "It asks for a worker with gpu; of 1 live worker, none has that.",
        explaining.WorkersBusy(("a", "b")): "Every slot is busy in 2 workers that may carry it.",
        explaining.Behind(1): "1 run of its lane ranks before it.",
        explaining.Behind(10_000): "10,000 or more runs of its lane rank before it.",
    }
    assert {fact: sentence(fact) for fact in facts} == facts
    assert {type(fact) for fact in facts} == set(explaining.Fact.__args__)
    nothing = why(explaining.Explanation(run_id="r", state=RunState.QUEUED))
    assert nothing.sentences == ["Nothing is in its way: the next free worker takes it."]
    assert msgspec.json.decode(msgspec.json.encode(nothing))["facts"] == []


async def test_texts_that_cannot_be_kept_are_refused_before_anything_is_asked_of_them(paused: House) -> None:
    """Half of a surrogate pair, which only a program can bring in, in parameters, definitions and edits: with its place."""
    runs, jobs, letters = paused.service.runs, paused.service.jobs, paused.service.letters
    half = "\ud800"
    pointers: list[str] = []
    for ask in (
        lambda: runs.start("n", {"a": half}),
        lambda: runs.start_many([RunWish(job="n"), RunWish(job="n", params={"a": half})], idempotency_key="k"),
        lambda: jobs.create(JobDraft(name="x", pipeline={"name": half})),
        lambda: jobs.check(JobDraft(name="x", command=Command(argv=("echo", half)))),
        lambda: letters.replay(Letters(all=True), edit={"a": half}),
    ):
        with pytest.raises(Invalid) as refused:
            await ask()
        assert refused.value.reason == "bad_text"
        pointers += [problem.pointer for problem in refused.value.problems]
    assert pointers == ["/params/a", "/runs/1/params/a", "/pipeline/name", "/command/argv/1", "/edit/a"]
    assert await stored(paused) == 0
    with pytest.raises(Invalid) as refused:
        await jobs.create(JobDraft(name="x", command=Command(argv=("true",), env={"A": "x\0"})))
    assert refused.value.problems[0].pointer == "/command/env/A"


async def test_a_definition_made_in_a_program_is_checked_like_one_that_came_over_the_wire(paused: House) -> None:
    """A negative priority is refused with the field."""
    with pytest.raises(Invalid) as refused:
        await paused.service.jobs.create(JobDraft(name="x", priority=-1, command=Command(argv=("true",))))
    assert refused.value.problems[0].pointer == "/priority"
