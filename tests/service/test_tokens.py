"""A bearer token counts only when our own key signed it, for us, as an access token, and for no longer than it says."""

from __future__ import annotations

import base64
import json
import stat
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from etlplus.errors import Misconfigured, Unauthenticated
from etlplus.service.tokens import TOKEN_BYTES_MAX, Keyring, TokenService, es256_keyring, hs256_keyring

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ring(tmp_path):
    return es256_keyring(tmp_path / "keys" / "signing.pem")


@pytest.fixture
def service(ring, clock):
    return TokenService(ring, now=clock)


def b64(data):
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def header_of(token):
    return jwt.get_unverified_header(token)


def claims_of(token):
    return jwt.decode(token, options={"verify_signature": False})


def signed(ring, claims, **header):
    """A token with any header and claims, honestly signed by the ring's own key."""
    key = ring.signer
    headers = {"kid": key.kid, "typ": "at+jwt", **header}
    return jwt.PyJWT().encode(claims, key.signing, key.algorithm, headers=headers)


def refused(service, token):
    with pytest.raises(Unauthenticated) as caught:
        service.verify(token)
    return caught.value.reason


def test_what_was_issued_is_believed(service):
    """A token says who it is for, under which epoch, and until when."""
    issued = service.issue("user-1", epoch=7)
    claims = service.verify(issued.token)
    assert (claims.sub, claims.epoch) == ("user-1", 7)
    assert claims.expires_at == issued.expires_at == NOON + timedelta(hours=1)


def test_two_tokens_are_never_the_same(service):
    """Each token has an id of its own."""
    assert service.issue("u", epoch=1).token != service.issue("u", epoch=1).token


def test_a_shared_secret_works_as_well(clock):
    """HS256 is there for a single machine."""
    service = TokenService(hs256_keyring(b"s" * 32), now=clock)
    assert service.verify(service.issue("u", epoch=1).token).sub == "u"


@pytest.mark.parametrize(
    ("after_s", "good"),
    [(-30, True), (-31, False), (0, True), (3600, True), (3629, True), (3630, False), (9999, False)],
)
def test_a_token_counts_from_its_issue_to_its_end_give_or_take_the_leeway(service, clock, after_s, good):
    """Thirty seconds of disagreement between two clocks are forgiven, on both ends, and no more."""
    token = service.issue("u", epoch=1).token
    clock.now += timedelta(seconds=after_s)
    if good:
        assert service.verify(token).sub == "u"
    else:
        assert refused(service, token) == ("token_expired" if after_s > 0 else "invalid_token")


def test_a_token_that_is_not_yet_good_is_refused(service, ring):
    """``nbf`` holds, although we never write it."""
    claims = claims_of(service.issue("u", epoch=1).token)
    assert refused(service, signed(ring, claims | {"nbf": claims["iat"] + 60})) == "invalid_token"


@pytest.mark.parametrize("missing", ["exp", "iat", "iss", "sub", "aud", "jti", "epoch"])
def test_every_claim_is_required(service, ring, missing):
    """A token that leaves something open is no token."""
    claims = claims_of(service.issue("u", epoch=1).token)
    del claims[missing]
    assert refused(service, signed(ring, claims)) == "invalid_token"


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "other"},
        {"aud": ["etlplus", "other"]},
        {"aud": ["etlplus"]},
        {"iss": "other"},
        {"sub": 7},
        {"sub": ""},
        {"jti": 7},
        {"exp": "soon"},
        {"exp": None},
        {"exp": 1e400},
        {"exp": True},
        {"iat": []},
        {"epoch": "1"},
    ],
)
def test_claims_of_another_issuer_or_of_another_shape_are_refused(service, ring, change):
    """Well signed is not enough: it must be from us, for us, and of the right types."""
    claims = claims_of(service.issue("u", epoch=1).token)
    assert refused(service, signed(ring, claims | change)) == "invalid_token"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "rt+jwt", "AT+JWT", ""])
def test_a_token_of_another_type_is_refused(service, ring, typ):
    """A refresh or identity token, signed by the same key, does not open the door (cross-token replay)."""
    claims = claims_of(service.issue("u", epoch=1).token)
    assert refused(service, signed(ring, claims, typ=typ)) == "invalid_token"


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "crit", "zip", "cty", "x5c"])
def test_headers_that_could_bring_their_own_key_are_refused_unread(service, ring, name):
    """Nothing in a header is followed, and a critical extension is never understood."""
    claims = claims_of(service.issue("u", epoch=1).token)
    assert refused(service, signed(ring, claims, **{name: "https://evil.example/keys"})) == "invalid_token"


def test_an_unsigned_token_is_refused(service):
    """``alg: none`` in every spelling, with and without a signature part."""
    token = service.issue("u", epoch=1).token
    header, body = header_of(token), token.split(".")[1]
    for alg in ("none", "None", "NONE", "nOnE"):
        for end in ("", "AA", token.split(".")[2]):
            assert refused(service, f"{b64(header | {'alg': alg})}.{body}.{end}") == "invalid_token"


def test_the_public_key_is_no_shared_secret(service, ring):
    """The key decides the algorithm: HMAC with the published half of the key pair is refused."""
    token = service.issue("u", epoch=1).token
    import hashlib
    import hmac

    head = b64(header_of(token) | {"alg": "HS256"})
    for form in (serialization.Encoding.PEM, serialization.Encoding.DER):
        public = ring.signer.verifying.public_bytes(form, serialization.PublicFormat.SubjectPublicKeyInfo)
        text = f"{head}.{token.split('.')[1]}"
        assert refused(service, f"{text}.{b64(hmac.new(public, text.encode(), hashlib.sha256).digest())}")


def test_a_strange_key_under_our_name_is_refused(service):
    """Calling one's own key by our ``kid`` does not make it ours."""
    token = service.issue("u", epoch=1).token
    claims, kid = claims_of(token), header_of(token)["kid"]
    stranger = ec.generate_private_key(ec.SECP256R1())
    forged = jwt.encode(claims, stranger, "ES256", headers={"kid": kid, "typ": "at+jwt"})
    assert refused(service, forged) == "invalid_token"
    mighty = rsa.generate_private_key(65537, 2048)
    assert refused(service, jwt.encode(claims, mighty, "RS256", headers={"kid": kid, "typ": "at+jwt"}))


@pytest.mark.parametrize("kid", ["", "other", "../../etc/passwd", "' or 1=1 --", None, 7, {"a": 1}, ["x"]])
def test_an_unknown_key_is_refused(service, kid):
    """A ``kid`` is looked up by name and never interpreted."""
    token = service.issue("u", epoch=1).token
    rest = token.split(".", 1)[1]
    assert refused(service, f"{b64(header_of(token) | {'kid': kid})}.{rest}") == "invalid_token"
    header = header_of(token)
    del header["kid"]
    assert refused(service, f"{b64(header)}.{rest}") == "invalid_token"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b",
        "a.b.c.d",
        "é.b.c",
        "a.b.c\n",
        " a.b.c",
        "a b.c.d",
        "=.=.=",
        "bnVsbA.bnVsbA.bnVsbA",
        b64(b"[" * 3000) + ".e30.e30",
        b64(b'{"alg":' * 700) + ".e30.e30",
        b64(b"\xff\xfe") + ".e30.e30",
        "A" * (TOKEN_BYTES_MAX + 1),
        "\x00.\x00.\x00",
    ],
)
def test_what_is_not_even_a_token_is_refused(service, text):
    """No text, however odd, gets anything but a refusal."""
    assert refused(service, text) == "invalid_token"


def test_a_token_has_one_spelling(service):
    """Padding, line breaks, the other base64 alphabet and stray low bits in the last sign are refused."""
    token = service.issue("u", epoch=1).token
    head, body, mark = token.split(".")
    for spelling in (
        f"{token}=",
        f"{head}=.{body}.{mark}",
        f"{head}.{body}.{mark[:9]}\n{mark[9:]}",
        f"{head}.{body}.+{mark[1:]}",
    ):
        refused(service, spelling)
    # 64 bytes take 86 signs, and the last of them has four bits to spare
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = mark[:-1] + alphabet[alphabet.index(mark[-1]) ^ 1]
    assert refused(service, f"{head}.{body}.{twin}") == "invalid_token"


def test_a_changed_token_is_refused_wherever_it_was_changed(service):
    """Each single sign matters."""
    token = service.issue("u", epoch=1).token
    for place in range(0, len(token), 7):
        if token[place] != ".":
            other = "A" if token[place] != "A" else "B"
            refused(service, token[:place] + other + token[place + 1 :])


def test_the_key_file_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    """A restart finds the same key, so that tokens outlive it."""
    path = tmp_path / "new" / "signing.pem"
    first, second = es256_keyring(path), es256_keyring(path)
    assert first.signer.kid == second.signer.kid
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["signing.pem"]
    TokenService(second).verify(TokenService(first).issue("u", epoch=1).token)


def test_a_key_that_others_can_read_is_not_used(tmp_path):
    """The refusal says what to do."""
    path = tmp_path / "signing.pem"
    es256_keyring(path)
    path.chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        es256_keyring(path)


@pytest.mark.parametrize("content", [b"", b"no key", "rsa", "p384"])
def test_a_file_that_holds_no_such_key_is_refused(tmp_path, content):
    """Half a file, another kind of key or another curve stops the start instead of failing at the first sign-in."""
    path = tmp_path / "signing.pem"
    made = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }
    if isinstance(content, str):
        content = made[content]().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Misconfigured, match=r"PEM|P-256"):
        es256_keyring(path)


def test_a_short_secret_is_refused():
    """A guessable shared secret stops the start."""
    with pytest.raises(Misconfigured, match="32"):
        hs256_keyring(b"x" * 31)


def test_a_ring_holds_one_family_of_keys(ring):
    """Mixing a public key and a shared secret in one ring is refused."""
    with pytest.raises(ValueError, match="one algorithm"):
        Keyring(ring.signer, hs256_keyring(b"x" * 32).signer)


def test_an_older_key_still_verifies(tmp_path, clock):
    """After a rotation the first key signs and the others go on verifying."""
    old, new = es256_keyring(tmp_path / "a.pem"), es256_keyring(tmp_path / "b.pem")
    token = TokenService(old, now=clock).issue("u", epoch=1).token
    both = TokenService(Keyring(new.signer, old.signer), now=clock)
    assert both.verify(token).sub == "u"
    assert header_of(both.issue("u", epoch=1).token)["kid"] == new.signer.kid
    assert refused(TokenService(new, now=clock), token) == "invalid_token"
