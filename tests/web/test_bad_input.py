"""What cannot be is refused with a problem that names the field and the rule, however it is asked; nothing is stored."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio
from house_kit import COMMAND, COMMAND_JSON, House, open_house

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))
from shells import carried_out

from etlplus.cli.exits import Exit
from etlplus.client import connect
from etlplus.errors import Conflict, EtlplusError, Invalid, Problem
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import JobDraft, Uniqueness
from etlplus.jobs.schedules import CronSchedule
from etlplus.service.permissions import ROLES
from etlplus.service.wishes import RunWish

BODY_MAX = 16_000_000
BIG = "x" * 10_000_000

JOBS: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "impossible cron": (
        {"schedule": {"kind": "cron", "cron": "0 0 31 2 *"}},
        "/schedule/cron",
        "field 3 (day of month), character 5: no month in '2' ever has a day",
        "days that exist in one of the months",
    ),
    "cron of four fields": (
        {"schedule": {"kind": "cron", "cron": "0 0 1 2"}},
        "/schedule/cron",
        "'0 0 1 2' has 4 field(s)",
        "5 or 6 fields",
    ),
    "unknown zone": (
        {"schedule": {"kind": "cron", "cron": "0 2 * * *", "zone": "Europe/Berln"}},
        "/schedule/zone",
        "there is no time zone 'Europe/Berln'",
        "Europe/Berlin",
    ),
    "negative priority": ({"priority": -1}, "/priority", ">= 0", "0 to 1,000"),
    "unknown error code": (
        {"retry": {"rules": [{"codes": ["timeout"]}, {"codes": ["timeout", "out_of_memry"]}]}},
        "/retry/rules/1/codes/1",
        "there is no error code 'out_of_memry'",
        "did you mean 'out_of_memory'?",
    ),
    "unknown queue": ({"queue": "nihgtly"}, "/queue", "there is no queue 'nihgtly'", "default"),
}
"""What a definition says, and the place, words of the sentence, and what would be accepted, wherever that is said."""


@pytest.fixture
async def roomy(tmp_path: Path) -> AsyncGenerator[House]:
    """A house that reads large bodies, with a job whose runs wait."""
    async with open_house(tmp_path, body_max_bytes=BODY_MAX) as house:
        await house.service.queues.pause("default")
        await house.service.jobs.create(JobDraft(name="there", command=COMMAND))
        yield house


async def nothing_new(house: House) -> None:
    """The store is as the fixture left it."""
    assert [job.name for job in (await house.service.jobs.list()).items] == ["there"]
    assert (await house.service.runs.list()).items == []


def says(problem: Problem, pointer: str, words: str, accepted: str) -> None:
    assert problem.pointer == pointer, problem
    assert words in problem.message, problem
    assert accepted in f"{problem.message} {problem.suggestion}", problem


async def etlplus(house: House, *words: str) -> tuple[int, str]:
    """A command against the house, carried out in a thread beside it: its exit status and what it said about it."""
    where = ("--url", f"http://127.0.0.1:{house.rest}", "--token", house.token)
    done = await trio.to_thread.run_sync(carried_out, (*words, *where))
    return done.returncode, done.stderr


async def refusal(asking: Any) -> Problem:
    """The first problem of what is refused; Invalid and Conflict have problems."""
    with pytest.raises(EtlplusError) as refused:
        await asking
    assert isinstance(refused.value, (Invalid, Conflict))
    return refused.value.problems[0]


@pytest.mark.parametrize("case", JOBS)
async def test_a_definition_that_cannot_be_is_refused_over_rest(roomy: House, case: str) -> None:
    """422, as a problem document."""
    said, *expected = JOBS[case]
    body = {"name": "x", "command": COMMAND_JSON} | said
    answer = await roomy.http.post("/api/v1/jobs", json=body, headers=roomy.signed_in)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    says(msgspec.convert(answer.json()["errors"][0], Problem), *expected)
    await nothing_new(roomy)


@pytest.mark.parametrize("case", JOBS)
async def test_a_definition_that_cannot_be_is_refused_in_process(roomy: House, case: str) -> None:
    """The same, for a program; what its types cannot hold is refused where it is made."""
    said, *expected = JOBS[case]
    if "schedule" in said:
        with pytest.raises(ValueError, match=re.escape(expected[1])):
            msgspec.convert(said["schedule"], CronSchedule)
        with pytest.raises(ValueError, match=re.escape(expected[1])):
            CronSchedule(**{name: text for name, text in said["schedule"].items() if name != "kind"})
    else:
        draft = JobDraft(name="x", command=COMMAND, **said)
        says(await refusal(roomy.service.jobs.create(draft)), *expected)
    await nothing_new(roomy)


@pytest.mark.slow
@pytest.mark.parametrize("case", JOBS)
async def test_a_definition_that_cannot_be_is_refused_on_the_command_line(
    roomy: House, case: str, tmp_path: Path
) -> None:
    """With file, line and column, and the exit status for what is refused."""
    said, pointer, words, accepted = JOBS[case]
    file = tmp_path / "x.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode({"name": "x", "command": COMMAND_JSON} | said)))
    for command in (["jobs", "create", str(file)], ["apply", str(tmp_path)]):
        status, told = await etlplus(roomy, *command)
        assert status == Exit.INVALID, told
        key = pointer.rpartition("/")[2]
        mark = '"out_of_memry"' if key.isdigit() else f'"{key}": '
        line = next(n for n, text in enumerate(file.read_text().split("\n"), 1) if mark in text)
        assert f"{file}:{line}:" in told
        assert words in told
        assert accepted in told
    await nothing_new(roomy)


WISHES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "negative priority": ({"priority": -1}, "/priority", ">= 0", "0 to 1,000"),
    "10 MB argument": ({"params": {"big": BIG}}, "/params", "too large", "at most 100,000 bytes"),
    "duplicate key": (
        {"unique_key": "k", "unique": {"on_conflict": "reject"}}, "/unique_key", "'k' is taken by run", "another key",
    ),
}  # fmt: skip


@pytest.fixture
async def keyed(roomy: House) -> AsyncGenerator[House]:
    """The same house, where somebody has the unique key ``k``."""
    await roomy.service.runs.start("there", key="k")
    yield roomy
    assert len((await roomy.service.runs.list()).items) == 1


@pytest.mark.parametrize("case", WISHES)
async def test_a_run_that_cannot_be_is_refused_over_rest(keyed: House, case: str) -> None:
    """Alone, and as one of several, where the place says which; ten megabytes go through the socket."""
    said, pointer, *expected = WISHES[case]
    for path, body, place in (
        ("jobs/there/runs", said, ""),
        ("runs", {"runs": [{"job": "there"} | said]}, "/runs/0"),
        ("runs", {"runs": [{"job": "there"}, {"job": "there"} | said]}, "/runs/1"),
    ):
        answer = await keyed.http.post(f"/api/v1/{path}", json=body, headers=keyed.signed_in)
        assert answer.status_code == (409 if case == "duplicate key" else 422), answer.text[:300]
        assert answer.headers["Content-Type"] == "application/problem+json"
        says(msgspec.convert(answer.json()["errors"][0], Problem), place + pointer, *expected)


@pytest.mark.parametrize("case", WISHES)
async def test_a_run_that_cannot_be_is_refused_in_process_and_by_the_client(keyed: House, case: str) -> None:
    """The same problem, of the same kind."""
    said, pointer, *expected = WISHES[case]
    kinds = {"unique": Uniqueness(on_conflict="reject")} if "unique" in said else {}
    wish = RunWish(job="there", **said | kinds)
    async with connect(f"http://127.0.0.1:{keyed.rest}", token=keyed.token) as client:
        for facets in (keyed.service, client):
            says(await refusal(facets.runs.start_many([wish])), f"/runs/0{pointer}", *expected)


RING: dict[str, Any] = {}
RING["x"] = [RING]


@pytest.mark.parametrize(
    ("params", "pointer", "words"),
    [
        ({"x": float("nan")}, "/params/x", "nan is no number"),
        ({"x": {1: 2}}, "/params/x", "a name in this object"),
        ({"x": b"y"}, "/params/x", "of the type bytes"),
        (RING, "/params", "nested too deeply"),
    ],
)
async def test_a_value_that_json_does_not_have_is_not_sent(roomy: House, params: Any, pointer: str, words: str) -> None:
    """Another would arrive in its place, such as null for no number."""
    async with connect(f"http://127.0.0.1:{roomy.rest}", token=roomy.token) as client:
        problem = await refusal(client.runs.start("there", params))
        assert (problem.pointer, words in problem.message) == (pointer, True), problem
    await nothing_new(roomy)


@pytest.mark.slow
@pytest.mark.parametrize("case", WISHES)
async def test_a_run_that_cannot_be_is_refused_on_the_command_line(keyed: House, case: str, tmp_path: Path) -> None:
    """By options, and in a file of many, where the line says which; the exit status tells what kind of refusal it is."""
    said, pointer, *expected = WISHES[case]
    file = tmp_path / "wishes.ndjson"
    file.write_bytes(b"\n".join(msgspec.json.encode({"job": "there"} | each) for each in ({}, said)))
    options = {
        "negative priority": ("--priority", "-1"),
        "10 MB argument": ("--param", f"big={'x' * 1_000_001}"),
        "duplicate key": ("--key", "k", "--on-conflict", "reject"),
    }
    by_options = await etlplus(keyed, "runs", "start", "there", *options[case])
    in_a_file = await etlplus(keyed, "runs", "start-many", str(file))
    for (status, told), place in ((by_options, f"{pointer}: "), (in_a_file, f"{file}:2: ")):
        assert status == (Exit.CONFLICT if case == "duplicate key" else Exit.INVALID), told
        assert all(words in told for words in (place, *expected)), told


async def test_a_body_above_the_limit_is_refused_through_the_socket(house: House) -> None:
    """Whoever goes on sending ten megabytes is answered all the same: what was too large, and how large it may be."""
    body = b'{"params": {"big": "' + BIG.encode() + b'"}}'
    head = f"POST /api/v1/jobs/there/runs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    stream = await house.raw()

    async def send() -> None:
        try:
            await stream.send_all(f"{head}\r\nAuthorization: Bearer {house.token}\r\n\r\n".encode() + body)
        except trio.BrokenResourceError:
            assert answer  # it may stop listening once it has answered

    answer = b""
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while b"}]}" not in answer:
            more = await stream.receive_some()
            assert more, answer
            answer += more
        nursery.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 413")
    problem = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["errors"][0]["suggestion"]) == ("too_large", "at most 4,096 bytes")


async def test_many_runs_may_have_a_larger_body_if_their_sender_may_start_them(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times the limit, in chunks too; not for strangers, not for viewers, and not on other routes."""
    await house.service.queues.pause("default")
    await house.service.jobs.create(JobDraft(name="there", command=COMMAND))
    wishes = msgspec.json.encode({"runs": [{"job": "there", "params": {"n": n, "x": "x" * 40}} for n in range(400)]})
    assert 4096 < len(wishes) < 8 * 4096
    json = {"Content-Type": "application/json"}

    async def chunks() -> AsyncGenerator[bytes]:
        for at in range(0, len(wishes), 1000):
            yield wishes[at : at + 1000]

    for content in (wishes, chunks()):
        answer = await house.http.post("/api/v1/runs", content=content, headers=house.signed_in | json)
        assert (answer.status_code, answer.json()["made"]) == (202, 400)
    for path, headers, size, accepted in (
        ("runs", {}, len(wishes), "at most 4,096 bytes"),
        ("jobs", house.signed_in, len(wishes), "at most 4,096 bytes"),
        ("runs", house.signed_in, 33_000, "at most 32,768 bytes"),
    ):
        answer = await house.http.post(f"/api/v1/{path}", content=wishes.ljust(size), headers=headers | json)
        assert (answer.status_code, answer.json()["errors"][0]["suggestion"]) == (413, accepted)
    monkeypatch.setitem(ROLES, "admin", ROLES["viewer"])
    answer = await house.http.post("/api/v1/runs", content=wishes, headers=house.signed_in | json)
    assert answer.status_code == 413
    assert (await house.service.queues.get("default")).queued == 800


async def test_a_body_above_the_limit_is_invalid_to_the_client_and_the_command_line(
    house: House, tmp_path: Path
) -> None:
    """Not a lost connection, which one would try again."""
    draft = JobDraft(name="x", pipeline={"note": BIG})
    async with connect(f"http://127.0.0.1:{house.rest}", token=house.token) as client:
        assert "at most 4,096 bytes" in str(await refusal(client.jobs.create(draft)))
    file = tmp_path / "x.toml"
    file.write_text(f'name = "x"\n[pipeline]\nnote = "{BIG}"\n')
    status, told = await etlplus(house, "jobs", "create", str(file))
    assert (status, "the body is larger than 4096 bytes" in told) == (Exit.INVALID, True)
    assert (await house.service.jobs.list()).items == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b'{"priority": 1, "priority": 2}', ["/priority"]),
        (b'{"params": {"a": {"b": 1, "c": [], "b": 2}}}', ["/params/a/b"]),
        (b'{"params": {"a": [0, {"b": 1, "b": 1, "c": 1, "c": 1}]}}', ["/params/a/1/b", "/params/a/1/c"]),
    ],
)
async def test_a_name_that_is_given_twice_is_refused(roomy: House, body: bytes, pointers: list[str]) -> None:
    """Nobody can know which was meant."""
    headers = roomy.signed_in | {"Content-Type": "application/json"}
    answer = await roomy.http.post("/api/v1/jobs/there/runs", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "duplicate_name")
    assert [problem["pointer"] for problem in answer.json()["errors"]] == pointers
    await nothing_new(roomy)


async def test_numbers_of_any_length_are_read(roomy: House) -> None:
    """What looks for names does not stumble over digits."""
    body = b'{"params": {"a": 1e400, "b": -0.0}}'.replace(b"1e400", b"1" * 300)
    headers = roomy.signed_in | {"Content-Type": "application/json"}
    answer: httpx2.Response = await roomy.http.post("/api/v1/jobs/there/runs", content=body, headers=headers)
    assert answer.status_code in (202, 422), answer.text


@pytest.mark.parametrize(("depth", "accepted"), [(100, True), (101, False), (400, False)])
async def test_parameters_nest_a_hundred_levels(roomy: House, depth: int, accepted: bool) -> None:
    """What is deeper is refused with its place: not everybody who reads them could."""
    params: Any = {}
    for _ in range(depth - 1):
        params = {"a": params}
    await roomy.service.jobs.create(JobDraft(name="deep", command=Command(argv=("true",))))
    answer = await roomy.http.post("/api/v1/jobs/deep/runs", json={"params": params}, headers=roomy.signed_in)
    assert answer.status_code == (202 if accepted else 422)
    if not accepted:
        says(msgspec.convert(answer.json()["errors"][0], Problem), "/params", "nested too deeply", "at most 100 levels")
        says(await refusal(roomy.service.runs.start("deep", params)), "/params", "nested too deeply", "100 levels")


async def test_a_body_that_is_nested_without_end_is_refused(roomy: House) -> None:
    """It costs nobody a stack."""
    body = b'{"params": {"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}}"
    headers = roomy.signed_in | {"Content-Type": "application/json"}
    answer = await roomy.http.post("/api/v1/jobs/there/runs", content=body, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), answer.text
    await nothing_new(roomy)
