"""
The same door from outside: the service contract over HTTP and WebSocket.

``async with connect(url, token=...) as client`` gives facets with the methods of ``etlplus.service.contract``; errors come
back as the same kinds that the service raises in process.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
import trio

from etlplus.client.identity import ClientIdentity
from etlplus.client.jobs import ClientJobs
from etlplus.client.letters import ClientLetters
from etlplus.client.queues import ClientLimits, ClientQueues
from etlplus.client.runs import ClientRuns
from etlplus.client.schedules import ClientSchedules
from etlplus.client.system import ClientSystem
from etlplus.client.wire import Wire

__all__ = ["Client", "connect"]

TIMEOUT_S = 30.0


class Client:
    """All facets of one daemon."""

    def __init__(self, wire: Wire) -> None:
        self.jobs = ClientJobs(wire)
        self.runs = ClientRuns(wire)
        self.letters = ClientLetters(wire)
        self.queues = ClientQueues(wire)
        self.limits = ClientLimits(wire)
        self.schedules = ClientSchedules(wire)
        self.identity = ClientIdentity(wire)
        self.system = ClientSystem(wire)


@asynccontextmanager
async def connect(url: str, *, token: str | None = None, websocket_url: str | None = None) -> AsyncGenerator[Client]:
    """
    A client of the daemon at ``url``.

    Args:
        token: A bearer token; without one, sign in first.
        websocket_url: Where the live monitoring listens; asked of the daemon when it is needed and not given.
    """
    raised: Exception | None = None
    async with httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S) as http, trio.open_nursery() as nursery:
        try:
            yield Client(Wire(http, nursery, url, websocket_url, token))
        except Exception as error:  # noqa: BLE001 - raised again outside of the nursery, which would wrap it into a group
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
