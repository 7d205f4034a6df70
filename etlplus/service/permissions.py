"""
Who may do what: permissions, roles as named sets of them, and the principal that carries them.

A permission is ``resource:verb``. Every facet method asks for exactly one before it does anything; the web room's route
table repeats that name so that a client can be told which scope was missing, and a test compares the two.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from etlplus.errors import Forbidden

Permission = Literal[
    "jobs:read",
    "jobs:write",
    "runs:read",
    "runs:start",
    "runs:cancel",
    "logs:read",
    "letters:resolve",
    "queues:read",
    "queues:pause",
    "queues:write",
    "schedules:pause",
    "quarantine:read",
    "system:read",
    "metrics:read",
]

_READER: frozenset[Permission] = frozenset({"jobs:read", "runs:read", "queues:read", "system:read"})
_STEERS: frozenset[Permission] = frozenset(
    {"runs:start", "runs:cancel", "letters:resolve", "queues:pause", "schedules:pause"}
)
_SEES_DATA: frozenset[Permission] = frozenset({"logs:read", "quarantine:read", "metrics:read"})
_EDITS: frozenset[Permission] = frozenset({"jobs:write", "queues:write"})
_OPERATOR = _READER | _STEERS | _SEES_DATA
_EDITOR = _OPERATOR | _EDITS

ROLES: dict[str, frozenset[Permission]] = {
    "viewer": _READER,
    "operator": _OPERATOR,
    "editor": _EDITOR,
    "admin": _EDITOR,
}
"""Roles by name. Logs and refused rows may hold data, which a viewer does not see. An admin will also manage users; until
that facet exists, the role equals an editor's.
"""


class Principal(msgspec.Struct, frozen=True):
    """Somebody who asks: a signed-in user, a machine, or the embedding program itself."""

    id: str
    name: str
    role: str
    permissions: frozenset[Permission]
    expires_at: datetime | None = None

    def must(self, permission: Permission) -> None:
        """Refuse unless this principal holds the permission.

        Raises:
            Forbidden: it does not; ``scope`` names what is missing.
        """
        if permission not in self.permissions:
            raise Forbidden(f"{self.name} ({self.role}) lacks the permission {permission}", scope=permission)


OWNER = Principal(id="owner", name="owner", role="admin", permissions=ROLES["admin"])
"""The program that opened the service: everything is allowed, since it could as well call the parts itself."""
