"""
The one-time token that makes the first admin.

It is written to a file that only the operator can read, since there is nobody yet who could be asked for a password, and it
is gone once it was used. While users exist there is no token.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path


class Bootstrap:
    """Holds the token, in memory and in ``path`` (mode 0600)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._token: str | None = None

    def issue(self) -> str:
        """Make a new token and write it down, replacing one that an earlier start left."""
        self._token = secrets.token_hex(24)  # no sign in it that a shell or a command line would take for its own
        self.path.unlink(missing_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(self._token + "\n")
        return self._token

    def accepts(self, token: str) -> bool:
        """Whether this is the token; compared in constant time."""
        return self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())

    def close(self) -> None:
        """There is a user now: the token stops counting."""
        self._token = None
        self.path.unlink(missing_ok=True)
