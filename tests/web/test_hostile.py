"""One hostile client must never hurt the others: each known way to bring the stack down, and then a plain question."""

from __future__ import annotations

import random
import socket
import struct
from pathlib import Path

import pytest
import trio
import trio.testing
from house_kit import House, open_house

from etlplus.web import body_limit, edge
from etlplus.web import http as http_module

HANG_S = 60.0
"""Far more than anything here takes."""
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
H2_SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
H2_BODY_OF_NOBODY = (
    b"\x00\x00\x10\x01\x04\x00\x00\x00\x01\x83\x86\x44\x0b/no_such_at\x41\x01x"
    + b"\x00\x00\x05\x00\x00\x00\x00\x00\x01hello" * 4
)
"""A POST to a path that is not there, whose body goes on after the answer."""
H2_CONNECT_NOWHERE = b"\x00\x00\x0c\x01\x05\x00\x00\x00\x01\x42\x07CONNECT\x41\x01x"
"""A CONNECT without a path."""
POST = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %b\r\n\r\n"
H2C = (
    b"GET /api/health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n"
)
UPGRADE = (
    b"GET /api/health HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def still_answers(house: House) -> None:
    assert (await house.http.get("/api/health")).status_code == 200


async def drain(stream: trio.SocketStream) -> bytes:
    """What the server still says, until it closes."""
    said = b""
    with trio.fail_after(HANG_S):
        try:
            while data := await stream.receive_some():
                said += data
        except trio.BrokenResourceError:
            return said
    return said


async def narrow(house: House) -> trio.SocketStream:
    """A client for which the system keeps little, so that the server soon notices whether it reads."""
    client = trio.socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await client.connect(("127.0.0.1", house.rest))
    return trio.SocketStream(client)


def reset(stream: trio.SocketStream) -> None:
    """Close with RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@pytest.mark.parametrize(
    "attack",
    [
        H2_PREFACE + H2_SETTINGS + H2_BODY_OF_NOBODY,
        H2_PREFACE + H2_SETTINGS + H2_CONNECT_NOWHERE,
        UPGRADE[:-2] + b"\r\nX",
        UPGRADE,
        b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZ\r\n",
        b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\n",
    ],
    ids=[
        "h2 post",
        "h2 connect",
        "upgrade and a byte",
        "upgrade",
        "bad chunk",
        "bad length",
        "huge head",
        "tls",
        "blank",
    ],
)
async def test_a_broken_request_harms_only_itself(house: House, attack: bytes) -> None:
    """Each reproducer of a fault that once took the whole listener down."""
    stream = await house.raw()
    async with stream:
        await stream.send_all(attack)
        await drain(stream)
    await still_answers(house)


@pytest.mark.parametrize("parts", [(H2_PREFACE + H2_SETTINGS,), (H2_PREFACE[:9], H2_PREFACE[9:] + H2_SETTINGS), (H2C,)])
async def test_only_http_1_is_spoken(house: House, parts: tuple[bytes, ...]) -> None:
    """HTTP/2 is not spoken, whether it is begun at once, in pieces, or asked for by an upgrade, which is not taken."""
    async with await house.raw() as stream:
        for part in parts:
            await stream.send_all(part)
            await trio.testing.wait_all_tasks_blocked()
        answer = await stream.receive_some()
    assert answer.startswith(b"HTTP/1.1 200" if parts == (H2C,) else b"HTTP/1.1 404"), answer


async def test_a_websocket_on_the_wrong_port_is_told_the_right_one(house: House) -> None:
    """Who mistakes the ports is told so, as with every other path that is not there."""
    async with await house.raw() as stream:
        await stream.send_all(UPGRADE)
        answer = await drain(stream)
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"monitoring_port" in answer


async def test_a_head_that_does_not_end_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who begins a request has no longer to finish its head than one who says nothing."""
    impatient = http_module.config()
    impatient.keep_alive_timeout = 0.2
    monkeypatch.setattr(edge, "config", lambda: impatient)
    async with open_house(tmp_path) as house, await house.raw() as stream:
        await stream.send_all(b"GET /api/health HTTP/1.1\r\nA: ")
        with trio.fail_after(HANG_S):
            assert await stream.receive_some() == b""


@pytest.mark.parametrize(("header", "idle_s"), [(b"", 0.2), (b"Connection: close\r\n", 10 * HANG_S)])
async def test_a_connection_ends_after_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: bytes, idle_s: float
) -> None:
    """When nothing more is asked for a while, and at once if its client wants that: it keeps no place for ever."""
    patient = http_module.config()
    patient.keep_alive_timeout = idle_s
    monkeypatch.setattr(edge, "config", lambda: patient)
    async with open_house(tmp_path) as house, await house.raw() as stream:
        await stream.send_all(b"GET /api/health HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n")
        assert (await drain(stream)).startswith(b"HTTP/1.1 200")


async def test_a_body_that_comes_too_slowly_is_refused(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that keeps a request open for ever gives up its place."""
    monkeypatch.setattr(body_limit, "READ_WITHIN_S", 0.05)
    async with await house.raw() as stream:
        await stream.send_all(POST % b"10" + b"{")
        with trio.fail_after(HANG_S):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408")


async def test_a_request_that_breaks_off_is_not_carried_out(house: House) -> None:
    """What has come so far would do as a body, but it is not what the client meant to say."""
    job = b'{"name": "half", "command": {"argv": ["true"]}}'
    headers = house.signed_in | {"Idempotency-Key": "once", "Content-Type": "application/json"}
    head = POST.replace(
        b"Host: x", b"Host: x\r\nIdempotency-Key: once\r\nAuthorization: Bearer " + house.token.encode()
    )
    async with await house.raw() as stream:
        await stream.send_all(head % str(len(job) + 1).encode() + job)
        await stream.send_eof()
        await stream.receive_some()
    while (answer := await house.http.post("/api/v1/jobs", content=job, headers=headers)).status_code == 409:
        assert answer.json()["code"] == "idempotency_under_way"
    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer.headers


async def test_connections_that_are_torn_harm_nobody(house: House) -> None:
    """Reset in the middle of a request, on both ports, again and again."""
    for port in (house.rest, house.monitoring):
        for part in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", UPGRADE):
            stream = await house.raw(port)
            if part:
                await stream.send_all(part)
            reset(stream)
    await still_answers(house)
    with trio.fail_after(HANG_S):
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
    stream = await narrow(house)
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
    with trio.fail_after(HANG_S):
        try:
            while True:
                await stream.send_all(request * 50)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    await stream.aclose()
    await still_answers(house)


async def test_a_client_that_does_not_read_holds_no_stop_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A send that nobody takes ends at its deadline, and so does a stop that waits for it."""
    monkeypatch.setattr(http_module, "SEND_WITHIN_S", 0.2)
    with trio.fail_after(HANG_S):
        async with open_house(tmp_path) as house:
            stream = await narrow(house)
            request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            with trio.move_on_after(0.1):
                while True:
                    await stream.send_all(request * 50)
    await stream.aclose()


async def test_monitoring_refuses_who_does_not_sign_in(house: House) -> None:
    """No token, a bad one, and no WebSocket at all: refused, and the next one is served."""
    for headers in (b"", b"Authorization: Bearer nonsense\r\n"):
        async with await house.raw(house.monitoring) as stream:
            await stream.send_all(UPGRADE[:-2] + headers + b"\r\n")
            said = await drain(stream)
        assert said.startswith(b"HTTP/1.1 401"), said
        assert b"www-authenticate: bearer" in said.lower()
    await still_answers(house)
