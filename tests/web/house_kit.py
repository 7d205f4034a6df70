"""What the tests of the front door share: a real service with its edge on free ports, and raw sockets to harm it with."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import argon2
import httpx2
import trio

import etlplus
from etlplus.jobs.kinds import Command
from etlplus.jobs.users import UserDraft
from etlplus.service.local import Service
from etlplus.settings import Engine, Settings
from etlplus.settings.schema import Auth, Monitoring, MonitoringSocket, Server

PASSWORD = "correct horse battery"
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
"""Checked in no time: a real one takes longer than all else that a house does in most of these tests."""

COMMAND = Command(argv=("true",))
"""What a job does where it does not matter what: it is checked in no time, and a pipeline by a process."""
COMMAND_JSON = {"argv": ["true"]}


@dataclass
class House:
    """The service, its ports, and a token of the first admin."""

    service: Service
    rest: int
    monitoring: int
    token: str
    http: httpx2.AsyncClient

    @property
    def signed_in(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def raw(self, port: int | None = None) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", port or self.rest)


@asynccontextmanager
async def open_house(
    folder: Path,
    *,
    connections_max: int = 1000,
    heartbeat_s: float = 15.0,
    token_ttl_s: int = 3600,
    body_max_bytes: int = 4096,
) -> AsyncGenerator[House]:
    """A service with its edge, and an admin who is signed in."""
    settings = Settings(
        data_dir=str(folder / "data"),
        engine=Engine(slots=1, spares=False),
        server=Server(port=0, body_max_bytes=body_max_bytes, connections_max=connections_max),
        monitoring=Monitoring(
            websocket=MonitoringSocket(port=0, connections_max=connections_max, heartbeat_s=heartbeat_s)
        ),
        auth=Auth(token_ttl_s=token_ttl_s),
    )
    async with etlplus.open_service(settings, edge=True) as service:
        ports = service.house.ports
        assert ports.rest
        assert ports.monitoring
        token = await _first_admin(service)
        url = f"http://127.0.0.1:{ports.rest}"
        async with httpx2.AsyncClient(
            base_url=url, timeout=60, verify=False
        ) as http:  # there are no certificates to load
            yield House(service, ports.rest, ports.monitoring, token, http)


async def _first_admin(service: Service) -> str:
    """Someone who may do everything, and a token."""
    house = service.house
    ada = await house.store.claim_bootstrap(UserDraft(name="ada", password_hash=HASHED, role="admin"), now=house.now())
    house.bootstrap.close()
    return house.tokens.issue(ada.id, epoch=ada.auth_epoch, now=house.now()).token
