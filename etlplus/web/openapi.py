"""
The API document (OpenAPI 3.1), made from the table of routes and the records they name.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from etlplus.web.problems import CONTENT_TYPE, ProblemBody
from etlplus.web.routes import ROUTES, Route

PATH = "/api/v1/openapi.json"


def document(version: str) -> dict[str, Any]:
    """The whole document."""
    named = [
        ProblemBody,
        *(kind for route in ROUTES for kind in (route.body, route.answer) if kind not in (None, bytes)),
    ]
    schemas, components = msgspec.json.schema_components(named, ref_template="#/components/schemas/{name}")
    of_kind = dict(zip(map(repr, named), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        path = re.sub(r"<(\w+)>", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, of_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "etlplus", "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(route: Route, of_kind: dict[str, Any]) -> dict[str, Any]:
    parameters = [_parameter(name, "path", required=True) for name in re.findall(r"<(\w+)>", route.path)]
    parameters += [_parameter(name, "query", required=False) for name in route.query]
    if route.versioned:
        parameters.append(_parameter("If-Match", "header", required=True))
    if route.keyed:
        parameters.append(_parameter("Idempotency-Key", "header", required=False))
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {str(route.status): _answer(route, of_kind), "default": _problem(of_kind)},
        "security": [{"bearer": []}] if route.signed_in else [],
    }
    if route.permission:
        operation["x-permission"] = route.permission
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": of_kind[repr(route.body)]}},
        }
    return operation


def _parameter(name: str, place: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": {"type": "string"}}


def _answer(route: Route, of_kind: dict[str, Any]) -> dict[str, Any]:
    if route.answer is None:
        return {"description": "Done"}
    if route.answer is bytes:
        return {"description": route.summary, "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"description": route.summary, "content": {"application/json": {"schema": of_kind[repr(route.answer)]}}}


def _problem(of_kind: dict[str, Any]) -> dict[str, Any]:
    return {"description": "A problem", "content": {CONTENT_TYPE: {"schema": of_kind[repr(ProblemBody)]}}}
