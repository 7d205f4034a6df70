"""
Who is who, over HTTP.
"""

from __future__ import annotations

from etlplus.client.wire import API, Wire
from etlplus.service.views import Grant, UserView


class ClientIdentity:
    """See ``contract.Identity``."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def bootstrap(self, token: str, name: str, password: str) -> UserView:
        body = {"token": token, "name": name, "password": password}
        return await self._wire.ask(UserView, "POST", f"{API}/auth/bootstrap", body=body)

    async def sign_in(self, name: str, password: str) -> Grant:
        """See the contract; the client uses the token from now on."""
        grant: Grant = await self._wire.ask(
            Grant, "POST", f"{API}/auth/token", body={"name": name, "password": password}
        )
        self._wire.token = grant.access_token
        return grant

    async def me(self) -> UserView:
        return await self._wire.ask(UserView, "GET", f"{API}/auth/me")

    async def sign_out(self) -> None:
        await self._wire.ask(None, "POST", f"{API}/auth/logout")
