"""The exam on texts: what cannot be kept is refused with its place, and nothing is stored; what can comes back as it was."""

from __future__ import annotations

from typing import Any

import pytest

from etlplus.errors import Invalid
from etlplus.jobs.letters import LetterFilter
from etlplus.jobs.model import NewRun
from etlplus.jobs.outcome import Failed, RunError
from etlplus.jobs.queues import LimitDraft, LimitUse, QueueDraft
from etlplus.store.contract import Store
from etlplus.testing.stores import NOW, a_claim, a_job, a_worker, some_runs, told

HALF = "\ud800"
RING: dict[str, Any] = {}
RING["a"] = RING


@pytest.mark.parametrize(
    ("params", "pointer"),
    [({"a": HALF}, "/params/a"), ({"a": [1, {"b/c": f"x{HALF}"}]}, "/params/a/1/b~1c"), ({HALF: 1}, "/params")],
)
async def test_half_of_a_surrogate_pair_in_parameters_is_refused(store: Store, params: Any, pointer: str) -> None:
    """With the place; of many wishes, none is stored."""
    job = await a_job(store)
    with pytest.raises(Invalid) as refused:
        await some_runs(store, job, params=params)
    assert [(each.pointer, each.code) for each in refused.value.problems] == [(pointer, "bad_text")]
    with pytest.raises(Invalid) as refused:
        await store.enqueue([NewRun(job_id=job.id), NewRun(job_id=job.id, params=params)], now=NOW)
    assert refused.value.problems[0].pointer == f"/1{pointer}"
    assert await store.runs() == []


@pytest.mark.parametrize(
    ("params", "pointer", "code"),
    [
        ({"a": [float("nan")]}, "/params/a/0", "bad_number"),
        ({"a": 2**64}, "/params/a", "bad_number"),
        ({"a": {1: 2}}, "/params/a", "not_json"),
        ({"a": b"x"}, "/params/a", "not_json"),
        (RING, "/params", "too_deep"),
    ],
)
async def test_what_json_does_not_have_is_refused(store: Store, params: Any, pointer: str, code: str) -> None:
    """A store would keep it as something else, or not at all."""
    job = await a_job(store)
    with pytest.raises(Invalid) as refused:
        await some_runs(store, job, params=params)
    assert [(each.pointer, each.code) for each in refused.value.problems] == [(pointer, code)]
    with pytest.raises(Invalid):
        await a_job(store, name="other", pipeline=params)
    assert await store.runs() == []
    assert [each.name for each in await store.jobs()] == ["job"]


async def test_a_definition_with_a_text_that_cannot_be_kept_is_refused(store: Store) -> None:
    """Neither halves of pairs nor NUL, which PostgreSQL would not find its way around later."""
    for pipeline, pointer in (
        ({"a": {"b": HALF}}, "/pipeline/a/b"),
        ({"a": ["x\0"]}, "/pipeline/a/0"),
        ({"\0": 1}, "/pipeline"),
    ):
        with pytest.raises(Invalid) as refused:
            await a_job(store, pipeline=pipeline)
        assert [(each.pointer, each.code) for each in refused.value.problems] == [(pointer, "bad_text")]
    assert await store.jobs() == []


async def test_nul_in_parameters_is_kept_unless_a_limit_counts_by_it(store: Store) -> None:
    """A run's parameters are JSON, where NUL is a character like others; a key is a text of the store."""
    job = await a_job(store)
    params = {"a": "x\0y", "emoji": "\U0001f600"}
    (run,) = await some_runs(store, job, params=params)
    assert (await store.run(run.id)).params == params
    await store.save_queue(QueueDraft(name="other"), now=NOW)
    await store.delete_queue("other", now=NOW)
    await store.save_limit(LimitDraft(name="api", slots=1), now=NOW)
    limited = await a_job(store, name="limited", limit=LimitUse("api", by="a"))
    with pytest.raises(Invalid) as refused:
        await some_runs(store, limited, params=params)
    assert refused.value.problems[0].pointer == "/params/a"


async def test_what_a_program_says_of_its_error_is_kept_as_far_as_it_can_be(store: Store) -> None:
    """An outcome is settled whatever text it has; else it would be told for ever."""
    (run,) = await some_runs(store, await a_job(store))
    await a_worker(store)
    (held,) = await a_claim(store)
    assert (await told(store, held, Failed(RunError("x", f"no {HALF}\0 file é", problems=(HALF,))))).applied
    (letter,) = await store.dead_letters(LetterFilter())
    assert letter.run.id == run.id
    assert letter.run.error == RunError("x", "no ?� file é", problems=("?",))


async def test_a_replay_with_such_a_text_makes_nothing(store: Store) -> None:
    """The letter stays, and says why."""
    await some_runs(store, await a_job(store))
    await a_worker(store)
    (held,) = await a_claim(store)
    await told(store, held, Failed(RunError("x", "x")))
    (replay,) = await store.replay(LetterFilter(), edit={"a": HALF}, now=NOW)
    assert replay.run is None
    assert "/params/a" in replay.problems[0]
    assert len(await store.dead_letters()) == 1
