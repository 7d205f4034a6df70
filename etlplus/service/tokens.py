"""
Bearer tokens: short-lived signed statements of who is asking.

A token is a JWT after RFC 9068 and is judged by the rules of RFC 8725: the key decides the algorithm and the header never
does, the type is explicit, and nothing unknown is accepted. It names a user and the user's auth epoch; what that user may do
is looked up at each request and is not written in the token. This file keeps no state and asks no store: the identity facet
compares the epoch. The keyring is read once, at start-up.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal
from uuid import uuid4

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from etlplus.errors import Misconfigured, Unauthenticated

TOKEN_BYTES_MAX = 8192
"""Nothing longer is looked at; ours have about 400 bytes."""

HS256_SECRET_BYTES_MIN = 32
"""RFC 7518 section 3.2: a key for HS256 is at least as long as its hash."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class Key(msgspec.Struct, frozen=True):
    """One key with the only algorithm it may be used for. ``kid`` is what tokens call it."""

    kid: str
    algorithm: Literal["ES256", "HS256"]
    signing: ec.EllipticCurvePrivateKey | bytes
    verifying: ec.EllipticCurvePublicKey | bytes


class Keyring:
    """The keys that count: the first signs, all verify.

    Raises:
        ValueError: there is no key, two share a ``kid``, or algorithms are mixed: a ring that holds both a public key and a
            shared secret invites taking one for the other.
    """

    def __init__(self, *keys: Key) -> None:
        if not keys or len({key.kid for key in keys}) != len(keys) or len({key.algorithm for key in keys}) != 1:
            raise ValueError("a keyring holds at least one key, each with its own kid, all of one algorithm")
        self.signer = keys[0]
        self._by_kid = {key.kid: key for key in keys}

    def find(self, kid: str) -> Key | None:
        """The key that tokens call ``kid``."""
        return self._by_kid.get(kid)


def es256_keyring(path: Path) -> Keyring:
    """The ES256 key kept in a PEM file; made on the first start, readable by its owner only.

    Raises:
        Misconfigured: the file can be read by others, or holds something else than a P-256 private key.
    """
    if not path.exists():
        _make_key_file(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Misconfigured(f"{path}: others can read this signing key; allow its owner only (chmod 600)")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{path}: this is no unencrypted private key in PEM form") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Misconfigured(f"{path}: ES256 needs a private key on the curve P-256")
    return Keyring(_es256_key(key))


def hs256_keyring(secret: bytes) -> Keyring:
    """A ring of one shared secret, for a single machine.

    Raises:
        Misconfigured: the secret has fewer than 32 bytes.
    """
    if len(secret) < HS256_SECRET_BYTES_MIN:
        raise Misconfigured(f"the token secret has {len(secret)} bytes; HS256 needs {HS256_SECRET_BYTES_MIN} or more")
    kid = "hs-" + sha256(b"etlplus kid\0" + secret).hexdigest()[:16]
    return Keyring(Key(kid, "HS256", secret, secret))


def _make_key_file(path: Path) -> None:
    """Write a new key beside ``path``, then link it into place: nobody ever sees half a key, and the first one wins."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _es256_key(key: ec.EllipticCurvePrivateKey) -> Key:
    public = key.public_key()
    point = public.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    return Key("es-" + sha256(point).hexdigest()[:16], "ES256", key, public)


class Claims(msgspec.Struct, frozen=True):
    """What a token says once it is believed: ``sub`` is the user's id, ``epoch`` the user's auth epoch when it was issued,
    ``jti`` the token's own id.
    """

    sub: Annotated[str, msgspec.Meta(min_length=1)]
    jti: Annotated[str, msgspec.Meta(min_length=1)]
    iat: int
    exp: int
    epoch: int

    @property
    def expires_at(self) -> datetime:
        """When the token stops counting."""
        return datetime.fromtimestamp(self.exp, UTC)


class Issued(msgspec.Struct, frozen=True):
    """A new token, and when it stops counting."""

    token: str
    expires_at: datetime


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a header of ours may say; ``jku``, ``jwk``, ``x5u``, ``crit`` and the like are refused unread."""

    alg: str
    kid: str
    typ: str


_read_header = msgspec.json.Decoder(_Header)


class TokenService:
    """Issues and verifies bearer tokens.

    Args:
        keyring: The keys that count.
        now: The present moment, aware; the host's clock unless a test owns it.
        issuer: Who we say we are, in ``iss`` and ``aud``: a token of another installation is none here.
        lifetime_s: How long a token counts, in seconds.
        leeway_s: How far the clocks of two nodes may be apart, in seconds.
    """

    def __init__(
        self,
        keyring: Keyring,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        issuer: str = "etlplus",
        lifetime_s: int = 3600,
        leeway_s: int = 30,
    ) -> None:
        self._keyring = keyring
        self._now = now
        self._issuer = issuer
        self._lifetime_s = lifetime_s
        self._leeway_s = leeway_s
        # Times are left to us, because PyJWT reads the host's clock and cannot be given another.
        self._jwt = jwt.PyJWT(
            {
                "require": ["exp", "iat", "iss", "sub", "aud", "jti"],
                "strict_aud": True,
                "enforce_minimum_key_length": True,
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
            }
        )

    def issue(self, sub: str, *, epoch: int) -> Issued:
        """A token for the user ``sub``, good for the lifetime from now unless the user's epoch moves on."""
        iat = int(self._now().timestamp())
        expires_at = datetime.fromtimestamp(iat, UTC) + timedelta(seconds=self._lifetime_s)
        claims = msgspec.to_builtins(Claims(sub, str(uuid4()), iat, iat + self._lifetime_s, epoch))
        claims |= {"iss": self._issuer, "aud": self._issuer}
        key = self._keyring.signer
        token = self._jwt.encode(claims, key.signing, key.algorithm, headers={"kid": key.kid, "typ": "at+jwt"})
        return Issued(token, expires_at)

    def verify(self, token: str) -> Claims:
        """What the token says, if it is one of ours and counts now.

        Raises:
            Unauthenticated: it is not, or no longer; ``reason`` is ``token_expired`` when only its time has passed.
        """
        key = self._key_for(token)
        try:
            said = self._jwt.decode(
                token, key.verifying, algorithms=[key.algorithm], audience=self._issuer, issuer=self._issuer
            )
            claims = msgspec.convert(said, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError) as error:
            raise _refusal("the token is not valid") from error
        self._check_times(claims, said.get("nbf"))
        return claims

    def _key_for(self, token: str) -> Key:
        """The one key that may have signed this, by its header; the text is checked before any of it is believed."""
        if len(token) > TOKEN_BYTES_MAX or not _TOKEN.fullmatch(token):
            raise _refusal("this is not a token")
        parts = [_decode_strictly(part) for part in token.split(".")]
        try:
            header = _read_header.decode(parts[0])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _refusal("the token's header is not one of ours") from error
        key = self._keyring.find(header.kid)
        if key is None or header.alg != key.algorithm or header.typ != "at+jwt":
            raise _refusal("the token is of another kind, or its key is not known")
        return key

    def _check_times(self, claims: Claims, not_before: object) -> None:
        now = self._now().timestamp()
        if now >= claims.exp + self._leeway_s:
            raise Unauthenticated("the token has expired", code="token_expired")
        ahead = max(claims.iat, not_before) if isinstance(not_before, int) else claims.iat
        if now < ahead - self._leeway_s:
            raise _refusal("the token is from the future")


def _decode_strictly(part: str) -> bytes:
    """The bytes behind base64url, refusing a text that no encoder writes: else one token would have several spellings."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise _refusal("this is not a token") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise _refusal("this is not a token")
    return raw


def _refusal(why: str) -> Unauthenticated:
    return Unauthenticated(why, code="invalid_token")
