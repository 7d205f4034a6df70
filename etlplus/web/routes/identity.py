"""
Routes of the identity facet.
"""

from __future__ import annotations

import msgspec

from etlplus.service.views import Grant, UserView
from etlplus.web.routes.table import API, Route


class Bootstrap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one-time token, and who the first admin shall be."""

    token: str
    name: str
    password: str


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A name and its password."""

    name: str
    password: str


ROUTES: tuple[Route, ...] = (
    Route("POST", f"{API}/auth/bootstrap", "identity.bootstrap",
          lambda s, r: s.identity.bootstrap(r.body.token, r.body.name, r.body.password), UserView,
          "Make the first admin with the one-time token", signed_in=False, body=Bootstrap, status=201),
    Route("POST", f"{API}/auth/token", "identity.sign_in", lambda s, r: s.identity.sign_in(r.body.name, r.body.password),
          Grant, "Trade a name and a password for a bearer token", signed_in=False, body=SignIn),
    Route("POST", f"{API}/auth/logout", "identity.sign_out", lambda s, r: s.identity.sign_out(), None,
          "Make every token of this user stop counting", status=204),
    Route("GET", f"{API}/auth/me", "identity.me", lambda s, r: s.identity.me(), UserView, "Who is asking"),
)  # fmt: skip
