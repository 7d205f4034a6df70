"""
Bearer tokens: short-lived JWTs (RFC 9068), signed and checked by rules that the token cannot influence.

The algorithm is fixed by the key, never by the token's header; the type, the issuer, the audience and all claims we rely on
are required; an oversized or oddly encoded token is refused before it is parsed.
"""

from __future__ import annotations

import os
import re
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec

from etlplus.errors import Misconfigured, Problem, Unauthenticated

ISSUER = "etlplus"
AUDIENCE = "etlplus"
TYPE = "at+jwt"
ALGORITHM = "HS256"
TOKEN_BYTES_MAX = 8192
SECRET_BYTES_MIN = 32
LEEWAY_S = 5
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REQUIRED = ["exp", "iat", "iss", "sub", "aud", "jti", "epoch"]


class Issued(msgspec.Struct, frozen=True):
    """A token and the moment it stops counting."""

    token: str
    expires_at: datetime


class Claims(msgspec.Struct, frozen=True):
    """What a good token says: whose it is, of which epoch, until when."""

    user_id: str
    epoch: int
    expires_at: datetime


class TokenService:
    """Makes and checks tokens.

    Args:
        secret: The signing key, at least 32 bytes.
        ttl_s: Life of a token, in seconds.

    Raises:
        Misconfigured: the secret is too short to resist guessing.
    """

    def __init__(self, secret: str, *, ttl_s: float) -> None:
        if len(secret.encode()) < SECRET_BYTES_MIN:
            problem = Problem(
                "the secret is too short", "/auth/secret", suggestion=f"at least {SECRET_BYTES_MIN} bytes"
            )
            raise Misconfigured("tokens cannot be signed", [problem])
        self._secret = secret
        self._ttl_s = ttl_s
        self._jwt = jwt.PyJWT({"enforce_minimum_key_length": True})

    def issue(self, user_id: str, *, epoch: int, now: datetime) -> Issued:
        """A new token for a user."""
        expires_at = (now + timedelta(seconds=self._ttl_s)).replace(microsecond=0)
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": user_id,
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": secrets.token_urlsafe(12),
            "epoch": epoch,
        }
        token = self._jwt.encode(claims, self._secret, algorithm=ALGORITHM, headers={"typ": TYPE})
        return Issued(token, expires_at)

    def verify(self, token: str, *, now: datetime) -> Claims:
        """What a token says, if it is ours and still counts.

        Raises:
            Unauthenticated: it is not (code ``invalid_token``) or does not any more (code ``expired_token``).
        """
        if len(token) > TOKEN_BYTES_MAX or not _FORM.fullmatch(token):
            raise Unauthenticated("this is no token of ours", code="invalid_token")
        try:
            complete = self._jwt.decode_complete(
                token,
                self._secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": _REQUIRED, "strict_aud": True, "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not valid: {error}", code="invalid_token") from None
        if complete["header"].get("typ") != TYPE:
            raise Unauthenticated("the token is of another type", code="invalid_token")
        return _claims(complete["payload"], now)


def _claims(payload: dict[str, Any], now: datetime) -> Claims:
    """The claims, with time checked against the passed clock."""
    try:
        claims = Claims(str(payload["sub"]), int(payload["epoch"]), datetime.fromtimestamp(int(payload["exp"]), UTC))
        issued_at = datetime.fromtimestamp(int(payload["iat"]), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        raise Unauthenticated("the token's claims are not what they must be", code="invalid_token") from None
    leeway = timedelta(seconds=LEEWAY_S)
    if now >= claims.expires_at + leeway:
        raise Unauthenticated("the token has expired", code="expired_token")
    if issued_at > now + leeway:
        raise Unauthenticated("the token is from the future", code="invalid_token")
    return claims


def kept_secret(path: Path) -> str:
    """The signing key in ``path``, made there (mode 0600) when it is missing."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass  # made by an earlier start, and kept so that tokens outlive a restart
    return path.read_text()
