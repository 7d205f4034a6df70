"""
Requests with an ``Idempotency-Key``: carried out once, and answered alike however often they are made.

The deed and its receipt are one unit of the store, so nothing is done twice, whatever crashes and whoever asks at once. The
answer is kept right after; should that be lost with the daemon, asking again says that the deed was done, and run starts are
answered with their runs. A client that goes away cancels nothing halfway: it is about to ask again.

Source:
    The IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import structlog
import trio

from etlplus.errors import Conflict, Invalid, Problem, StoreUnavailable
from etlplus.jobs.receipts import Again, Answer, Once, Receipt, judge
from etlplus.runtime.groups import unwrapped
from etlplus.service.contract import Contract
from etlplus.web.problems import HttpError
from etlplus.web.routes import Request, Route

log = structlog.get_logger()

CARRIED_OUT_WITHIN_S = 10.0
"""What a deed may take from when nobody waits for it any more; the largest takes about a second. While somebody waits, it has
the same time as one without a key: a machine that is busy makes it late, and is no reason to refuse it."""
REPLAYED = "Idempotency-Replayed"
_encoder = msgspec.json.Encoder(order="deterministic")

CarryOut = Callable[[Contract], Awaitable[Answer]]


async def answer_once(service: Contract, route: Route, asked: Request, key: str, carry_out: CarryOut) -> Answer:
    """
    The answer of a request, carried out now unless it was before.

    Raises:
        Invalid: the key was used for another request (code ``idempotency_mismatch``).
        HttpError: the first request is under way, or it took effect and its answer was lost.
        StoreUnavailable: it took too long after its asker had gone; asking again tells whether it took effect.
    """
    request = service.receipts.request(key, _named(route, asked), _fingerprint(route, asked))
    async with going_on():
        if receipt := await service.receipts.find(request):
            return await _again(service, route, request, receipt)
        try:
            answer = await carry_out(service.once(request))
        except Conflict as error:
            receipt = await service.receipts.find(request) if error.reason == "already_done" else None
            if receipt is None:
                raise
            return await _again(service, route, request, receipt)
        await _keep(service, request, answer)
        return answer
    raise StoreUnavailable("this took too long; asking again with the same key tells whether it took effect")


@asynccontextmanager
async def going_on() -> AsyncGenerator[None]:
    """What is under way in here goes on when it is cancelled from outside, for ``CARRIED_OUT_WITHIN_S``; then it is cut."""

    async def limit() -> None:
        try:
            await trio.sleep_forever()
        finally:
            scope.deadline = trio.current_time() + CARRIED_OUT_WITHIN_S

    with unwrapped(1):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope(shield=True) as scope:
                nursery.start_soon(limit)
                yield
            nursery.cancel_scope.cancel()


async def _keep(service: Contract, request: Once, answer: Answer) -> None:
    try:
        await service.receipts.keep(request, answer)
    except StoreUnavailable as error:  # the deed is done and must be told; only asking again would tell less
        log.warning("answer_not_kept", route=request.route, error=error.message)


async def _again(service: Contract, route: Route, request: Once, receipt: Receipt) -> Answer:
    meaning = judge(receipt, request)
    if meaning is Again.OTHER:
        raise Invalid(
            "this Idempotency-Key was used for another request",
            [Problem(f"it was for {receipt.route}", suggestion="a new key for each new request")],
            code="idempotency_mismatch",
        )
    if receipt.answer is not None:
        return msgspec.structs.replace(receipt.answer, headers=receipt.answer.headers | {REPLAYED: "true"})
    if route.again is not None and receipt.made:
        body = msgspec.json.encode(await route.again(service, receipt.made))
        return Answer(status=route.status, headers={REPLAYED: "true"}, body=body)
    if meaning is Again.UNDER_WAY:
        detail = "the first request with this key is being answered"
        raise HttpError(409, "idempotency_under_way", detail, {"Retry-After": "1"})
    detail = "the request with this key took effect, but its answer was lost: see what there is, and use a new key"
    raise HttpError(409, "idempotency_unanswered", detail)


def _named(route: Route, asked: Request) -> str:
    path = route.path
    for name, value in asked.path.items():
        path = path.replace(f"<{name}>", value)
    return f"{route.method} {path}"


def _fingerprint(route: Route, asked: Request) -> str:
    """The same for the same request, however its JSON was written."""
    return hashlib.sha256(_encoder.encode([route.name, asked.path, asked.query, asked.body])).hexdigest()
