"""Every route, asked wrongly in every way that its place in the table allows."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from house_kit import House

from etlplus.service.permissions import Permission
from etlplus.web import openapi
from etlplus.web.routes import ROUTES, Route

PROBLEM = "application/problem+json"
ABSENT = "01a20c74-0000-7000-8000-000000000000"

BODIES: dict[str, Any] = {
    "jobs.replace": {"name": "x", "pipeline": {}},
    "runs.start": {},
    "queues.save": {},
    "limits.save": {"slots": 1},
}
MADE_BY_NAME = {"queues.save", "limits.save"}
"""Routes that make what their path names."""


def path_of(route: Route) -> str:
    return re.sub(r"<\w+>", ABSENT, route.path)


async def ask(house: House, route: Route, **more: Any) -> Any:
    headers = house.signed_in | ({"If-Match": '"1"'} if route.versioned else {}) | more.pop("headers", {})
    return await house.http.request(route.method, path_of(route), headers=headers, **more)


async def test_what_is_not_there_is_not_found_on_every_route(house: House) -> None:
    """404 with a problem document, whichever part of the path names nothing."""
    asked = 0
    for route in ROUTES:
        if "<" in route.path and route.name not in MADE_BY_NAME:
            answer = await ask(house, route, **({"json": BODIES[route.name]} if route.body else {}))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), route.name
            assert answer.headers["Content-Type"] == PROBLEM
            asked += 1
    assert asked >= 20


async def test_a_body_that_is_none_of_ours_is_refused_on_every_route(house: House) -> None:
    """A wrong media type is 415, broken JSON 400, an unknown field 422; no route guesses."""
    for route in ROUTES:
        if route.body is None or not route.signed_in:
            continue
        json = {"Content-Type": "application/json"}
        wrong = [
            (await ask(house, route, content=b"{}", headers={"Content-Type": "text/plain"}), 415),
            (await ask(house, route, content=b"{", headers=json), 400),
            (await ask(house, route, json={"no_such_field": 1}), 422),
            (await ask(house, route, json=[]), 422),
        ]
        assert [answer.status_code for answer, _ in wrong] == [status for _, status in wrong], route.name
        assert {answer.headers["Content-Type"] for answer, _ in wrong} == {PROBLEM}
        assert wrong[2][0].json()["errors"][0]["message"]


async def test_a_query_that_is_none_of_ours_is_refused_on_every_route(house: House) -> None:
    """An unknown parameter, one given twice, and one with a NUL character: 422 with its name."""
    for route in ROUTES:
        queries = (
            ["colour=red"] + [f"{name}=1&{name}=1" for name in route.query] + [f"{name}=%00" for name in route.query]
        )
        for query in queries:
            answer = await house.http.request(
                route.method, f"{path_of(route)}?{query}", headers=house.signed_in | {"If-Match": '"1"'},
                **({"json": BODIES.get(route.name, {})} if route.body else {}),
            )  # fmt: skip
            if not route.signed_in and route.body is not None:
                continue  # open doors that take a password answer to few requests
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{query.split('=')[0]}"), (
                query
            )


def test_every_route_is_in_the_document_with_all_that_it_takes() -> None:
    """Its parameters, its body, its answer, its permission; an Idempotency-Key exactly where one counts."""
    document = openapi.document("0")
    for route in ROUTES:
        operation = document["paths"][re.sub(r"<(\w+)>", r"{\1}", route.path)][route.method.lower()]
        assert operation["operationId"] == route.name
        named = {(each["in"], each["name"]) for each in operation["parameters"]}
        assert {("path", name) for name in re.findall(r"<(\w+)>", route.path)} <= named
        assert {("query", name) for name in route.query} <= named
        assert (("header", "Idempotency-Key") in named) == route.keyed
        assert operation.get("x-permission") == route.permission
        assert ("requestBody" in operation) == (route.body is not None)
        assert str(route.status) in operation["responses"]


def test_every_permission_opens_something() -> None:
    """A permission that no route asks for would be a promise without a door."""
    assert {route.permission for route in ROUTES} - {None} == set(msgspec.inspect.type_info(Permission).values)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_is_named_after_the_method_that_it_calls(route: Route) -> None:
    """The same method, with the same name, is in the contract."""
    from etlplus.service.contract import Contract
    from etlplus.service.local import Service

    facet, _, method = route.name.partition(".")
    assert hasattr(Contract, facet)
    kind = getattr(Service, facet).fget.__annotations__["return"]
    assert kind.endswith("Facet")
    module = sys.modules[f"etlplus.service.{facet}"]
    assert callable(getattr(getattr(module, kind), method))
    assert f'must("{route.permission}")' in Path(str(module.__file__)).read_text() or route.permission is None
