"""REST: what is answered to whom."""

from __future__ import annotations

import re

import jwt
import msgspec
import pytest
from house_kit import PASSWORD, House

from etlplus.service.permissions import ROLES, Principal
from etlplus.web import openapi
from etlplus.web.limits import RateLimit
from etlplus.web.routes import ROUTES

PROBLEM = "application/problem+json"


async def test_health_needs_no_credential(house: House) -> None:
    """Anybody may ask whether it works, and gets 200."""
    answer = await house.http.get("/api/health")
    assert (answer.status_code, answer.json()["status"]) == (200, "pass")


async def test_every_closed_route_asks_for_a_token_and_refuses_a_bad_one(house: House) -> None:
    """401 with WWW-Authenticate: without error when no token came, with invalid_token when a bad one did."""
    for route in ROUTES:
        if not route.signed_in:
            continue
        path = re.sub(r"<\w+>", "x", route.path)
        without = await house.http.request(route.method, path)
        bad = await house.http.request(route.method, path, headers={"Authorization": "Bearer nonsense"})
        assert (without.status_code, bad.status_code) == (401, 401), path
        assert without.headers["WWW-Authenticate"] == 'Bearer realm="etlplus"'
        assert 'error="invalid_token"' in bad.headers["WWW-Authenticate"]
        assert without.headers["Content-Type"] == bad.headers["Content-Type"] == PROBLEM


async def test_a_viewer_is_told_which_permission_is_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """403 with insufficient_scope and the scope's name, on every route that the role does not cover."""
    viewer = Principal("v", "eve", "viewer", ROLES["viewer"])

    async def authenticate(self: object, token: str) -> Principal:
        return viewer

    monkeypatch.setattr("etlplus.service.identity.IdentityFacet.authenticate", authenticate)
    refused = 0
    for route in ROUTES:
        if route.permission is None or route.permission in viewer.permissions:
            continue
        path = re.sub(r"<\w+>", "x", route.path)
        answer = await house.http.request(route.method, path, headers=house.signed_in)
        assert answer.status_code == 403, path
        assert f'scope="{route.permission}"' in answer.headers["WWW-Authenticate"]
        refused += 1
    assert refused >= 6


async def test_a_revoked_token_stops_counting(house: House) -> None:
    """After signing out, the same token is refused."""
    assert (await house.http.get("/api/v1/auth/me", headers=house.signed_in)).status_code == 200
    assert (await house.http.post("/api/v1/auth/logout", headers=house.signed_in)).status_code == 204
    assert (await house.http.get("/api/v1/auth/me", headers=house.signed_in)).status_code == 401


async def test_wrong_passwords_and_unknown_names_look_alike(house: House) -> None:
    """Neither the status nor the body tells whether the name exists."""
    said = [
        await house.http.post("/api/v1/auth/token", json={"name": name, "password": "wrong wrong wrong"})
        for name in ("ada", "nobody")
    ]
    bodies = [{key: value for key, value in answer.json().items() if key != "instance"} for answer in said]
    assert [answer.status_code for answer in said] == [401, 401]
    assert bodies[0] == bodies[1]


async def test_there_is_one_bootstrap(house: House) -> None:
    """Once there is a user, no token makes another admin."""
    body = {"token": "x", "name": "mallory", "password": PASSWORD}
    assert (await house.http.post("/api/v1/auth/bootstrap", json=body)).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "no_such_path"),
        ("DELETE", "/api/health", 405, "method_not_allowed"),
        ("GET", "/api/v1/jobs?colour=red", 422, "invalid"),
        ("GET", "/api/v1/jobs?limit=0", 422, "invalid"),
        ("GET", "/api/v1/jobs?limit=many", 422, "invalid"),
        ("GET", "/api/v1/jobs?limit=-1", 422, "invalid"),
        ("GET", "/api/v1/jobs?limit=" + "9" * 5000, 422, "invalid"),
        ("GET", "/api/v1/runs?cursor=yesterday", 422, "invalid"),
        ("GET", "/api/v1/runs?cursor=%00", 422, "invalid"),
        ("GET", "/api/v1/runs?state=asleep", 422, "invalid"),
        ("GET", "/api/v1/runs/nope", 404, "not_found"),
        ("DELETE", "/api/v1/jobs/x", 428, "precondition_required"),
        ("OPTIONS", "/api/v1/jobs", 405, "method_not_allowed"),
        ("GET", "/api//v1/jobs", 404, "no_such_path"),
    ],
)
async def test_wrong_questions_are_told_apart(house: House, method: str, path: str, status: int, code: str) -> None:
    """Each mistake has its status, a stable code and a problem document."""
    answer = await house.http.request(method, path, headers=house.signed_in)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["Content-Type"] == PROBLEM
    if status == 405:
        assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "pointer"),
    [
        (b"{}", "text/plain", 415, None),
        (b"{", "application/json", 400, None),
        (b"\xff\xfe", "application/json", 400, None),
        (b'{"name": "x", "pipeline": {}, "prioritty": 1}', "application/json", 422, "/prioritty"),
        (b'{"name": "x", "pipeline": {}, "retry": {"base_s": "soon"}}', "application/json", 422, "/retry/base_s"),
        (b'{"name": "x", "pipeline": {}, "retry": {"cap_s": 1e308}}', "application/json", 422, "/retry/cap_s"),
        (b'{"name": "x", "pipeline": {}, "timeout_s": 1e308}', "application/json", 422, "/timeout_s"),
        (b'{"name": "x", "pipeline": {}, "memory_limit_bytes": 1}', "application/json", 422, "/memory_limit_bytes"),
        (b"[" * 3000, "application/json", 422, None),
        (b'{"name": "' + b"x" * 5000 + b'"}', "application/json", 413, None),
    ],
)
async def test_wrong_bodies_are_told_apart(
    house: House, content: bytes, kind: str, status: int, pointer: str | None
) -> None:
    """A wrong type, broken JSON, a wrong field with its place, too much of it."""
    headers = house.signed_in | {"Content-Type": kind}
    answer = await house.http.post("/api/v1/jobs", content=content, headers=headers)
    assert answer.status_code == status
    if pointer is not None:
        assert answer.json()["errors"][0].get("pointer", "") == pointer


async def test_a_body_in_chunks_is_cut_off_at_the_limit(house: House) -> None:
    """An endless chunked upload gets 413 after a few kilobytes, whatever the framework would buffer."""

    async def endless():  # type: ignore[no-untyped-def]
        for _ in range(100_000):
            yield b"x" * 1024

    headers = house.signed_in | {"Content-Type": "application/json"}
    try:
        answer = await house.http.post("/api/v1/jobs", content=endless(), headers=headers)
    except Exception as error:  # noqa: BLE001 - the server may cut the line before the client has read the answer
        assert type(error).__name__ in {"WriteError", "ReadError", "RemoteProtocolError"}  # noqa: PT017 - as above
    else:
        assert answer.status_code == 413
    assert (await house.http.get("/api/health")).status_code == 200


async def test_every_answer_carries_the_same_guards(house: House) -> None:
    """Security headers, a request id and the rate limit on success and on refusal alike."""
    for path in ("/api/health", "/api/v1/jobs"):
        headers = (await house.http.get(path, headers={"X-Request-Id": "mine-1"})).headers
        assert headers["X-Request-Id"] == "mine-1"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert int(headers["X-RateLimit-Remaining"]) < int(headers["X-RateLimit-Limit"])
        assert "server" not in headers


async def test_too_many_sign_ins_are_slowed_down(house: House) -> None:
    """429 with Retry-After, long before a password could be guessed."""
    body = {"name": "ada", "password": "x"}
    statuses = [(await house.http.post("/api/v1/auth/token", json=body)) for _ in range(14)]
    last = statuses[-1]
    assert last.status_code == 429
    assert int(last.headers["Retry-After"]) >= 1
    assert last.headers["X-RateLimit-Remaining"] == "0"


async def test_metrics_are_for_those_who_may(house: House) -> None:
    """The Prometheus text, behind its permission."""
    answer = await house.http.get("/metrics", headers=house.signed_in)
    assert answer.status_code == 200
    assert "etlplus_slots 1.0" in answer.text


async def test_the_api_document_names_every_route(house: House) -> None:
    """The OpenAPI document has an operation per route, and each of its references leads somewhere."""
    document = (await house.http.get(openapi.PATH)).json()
    operations = {each["operationId"] for methods in document["paths"].values() for each in methods.values()}
    assert operations == {route.name for route in ROUTES}
    text = msgspec.json.encode(document).decode()
    for name in text.split('"#/components/schemas/')[1:]:
        assert name.split('"')[0] in document["components"]["schemas"]


@pytest.mark.parametrize("trick", ["none", "other key", "no type", "other audience", "no epoch", "expired"])
async def test_forged_tokens_are_refused(house: House, trick: str) -> None:
    """The algorithm, the key, the type and every claim are checked."""
    secret = (house.service.house.data_dir / "token-secret").read_text()
    claims = jwt.decode(house.token, secret, algorithms=["HS256"], audience="etlplus")
    headers = {"typ": "at+jwt"}
    if trick == "no type":
        headers = {}
    elif trick == "other audience":
        claims["aud"] = "another"
    elif trick == "no epoch":
        del claims["epoch"]
    elif trick == "expired":
        claims["exp"] = claims["iat"] - 60
    if trick == "none":
        token = jwt.encode(claims, None, algorithm="none", headers=headers)
    else:
        key = "k" * 48 if trick == "other key" else secret
        token = jwt.encode(claims, key, algorithm="HS256", headers=headers)
    answer = await house.http.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_the_rate_limit_keeps_to_burst_and_rate() -> None:
    """Never more than the burst at once and the rate in the long run; what the headers say is true."""
    limit = RateLimit(burst=5, per_s=2.0)
    verdicts = [limit.ask("a", 100.0) for _ in range(7)]
    assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 2
    assert [verdict.remaining for verdict in verdicts[:5]] == [4, 3, 2, 1, 0]
    assert limit.ask("b", 100.0).allowed
    assert not limit.ask("a", 100.4).allowed
    assert limit.ask("a", 100.0 + verdicts[-1].retry_after_s).allowed
    assert sum(limit.ask("c", number / 100).allowed for number in range(1000)) == 5 + 19
