"""One hostile client must never hurt the others: each known way to bring the stack down, and then a plain question."""

from __future__ import annotations

import random
import socket
import struct

import pytest
import trio
from house_kit import House

from etlplus.web import http as http_module

H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UPGRADE = (
    b"GET /api/health HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def still_answers(house: House) -> None:
    assert (await house.http.get("/api/health")).status_code == 200


async def drain(stream: trio.SocketStream) -> bytes:
    """What the server still says, until it closes or has nothing to say for a while."""
    said = b""
    with trio.move_on_after(2):
        try:
            while data := await stream.receive_some():
                said += data
        except trio.BrokenResourceError:
            return said
    return said


def reset(stream: trio.SocketStream) -> None:
    """Close with RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@pytest.mark.parametrize(
    "attack",
    [
        H2_PREFACE + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        UPGRADE[:-2] + b"\r\nX",
        UPGRADE,
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZ\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
    ],
    ids=["h2 preface", "upgrade and a byte", "upgrade", "bad chunk", "bad length", "huge head", "tls", "blank"],
)
async def test_a_broken_request_harms_only_itself(house: House, attack: bytes) -> None:
    """Each reproducer of a fault that once took the whole listener down."""
    stream = await house.raw()
    async with stream:
        await stream.send_all(attack)
        await drain(stream)
    await still_answers(house)


async def test_connections_that_are_torn_harm_nobody(house: House) -> None:
    """Reset in the middle of a request, on both ports, again and again."""
    for port in (house.rest, house.monitoring):
        for part in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE):
            stream = await house.raw(port)
            if part:
                await stream.send_all(part)
            reset(stream)
    await still_answers(house)
    with trio.fail_after(10):
        while house.service.house.newsroom.watchers:
            await trio.lowlevel.checkpoint()


@pytest.mark.slow
async def test_random_noise_harms_nobody(house: House) -> None:
    """Mutated requests from a seed."""
    rng = random.Random(20260504)
    good = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        stream = await house.raw()
        async with stream:
            try:
                await stream.send_all(bytes(data))
                await stream.send_eof()
            except trio.BrokenResourceError:
                continue  # the server had heard enough
    await still_answers(house)


async def test_a_client_that_does_not_read_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers that nobody takes block no one: the send has a deadline, after which the connection is gone."""
    monkeypatch.setattr(http_module, "SEND_WITHIN_S", 0.2)
    stream = await house.raw()
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with trio.fail_after(20):
        try:
            while True:
                await stream.send_all(request * 50)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    await stream.aclose()
    await still_answers(house)


async def test_monitoring_refuses_who_does_not_sign_in(house: House) -> None:
    """No token, a bad one, and no WebSocket at all: refused, and the next one is served."""
    for headers in (b"", b"Authorization: Bearer nonsense\r\n"):
        async with await house.raw(house.monitoring) as stream:
            await stream.send_all(UPGRADE[:-2] + headers + b"\r\n")
            said = await drain(stream)
        assert said.startswith(b"HTTP/1.1 401"), said
        assert b"www-authenticate: bearer" in said.lower()
    await still_answers(house)
