"""Watchers that fall silent, do not read, say nonsense or stay too long: each is sent away for a reason, and alone."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from house_kit import House, open_house
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from etlplus.service.permissions import Principal
from etlplus.web import edge, monitoring

WITHIN_S = 20.0
"""Far more than anything here takes."""


@asynccontextmanager
async def watching(house: House) -> AsyncGenerator[WebSocketConnection]:
    """A well-behaved watcher that has been greeted."""
    headers = [("Authorization", f"Bearer {house.token}")]
    with trio.fail_after(WITHIN_S):
        async with await house.raw(house.monitoring) as stream, trio.open_nursery() as nursery:
            socket = await wrap_client_stream(nursery, stream, "127.0.0.1", "/", extra_headers=headers)
            assert (await heard(socket))["type"] == "hello"
            yield socket
            await socket.aclose()


async def heard(socket: WebSocketConnection) -> dict[str, Any]:
    return json.loads(await socket.get_message())


async def asked(socket: WebSocketConnection, **message: Any) -> dict[str, Any]:
    await socket.send_message(json.dumps(message))
    return await heard(socket)


async def until_room(house: House, port: int, request: bytes) -> bytes:
    """The first line of the answer to the first request that is not turned away at the door."""
    with trio.fail_after(WITHIN_S):
        while True:
            async with await house.raw(port) as stream:
                try:
                    await stream.send_all(request)
                    if answer := await stream.receive_some(12):
                        return answer
                except trio.BrokenResourceError:
                    continue  # turned away with a reset, since it had spoken already


async def farewell(socket: WebSocketConnection) -> tuple[int, str]:
    """The code and the reason with which the daemon ends the connection."""
    try:
        while True:
            await socket.get_message()
    except ConnectionClosed as closed:
        reason = closed.reason
    assert reason is not None
    return reason.code, reason.reason or ""


def upgrade_of(house: House) -> bytes:
    """A request for the upgrade, for connections whose end here does nothing of its own accord."""
    key = base64.b64encode(b"0123456789abcdef")
    return (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: %b\r\nAuthorization: Bearer %b\r\n\r\n" % (key, house.token.encode())
    )


async def upgrade(house: House, stream: trio.SocketStream) -> bytes:
    """The first line of the answer to the request for the upgrade."""
    await stream.send_all(upgrade_of(house))
    return await stream.receive_some(12)


def frame(text: str) -> bytes:
    """A text frame of a client, masked with zeros."""
    data = text.encode()
    assert len(data) < 126
    return struct.pack("!BB4x", 0x81, 0x80 | len(data)) + data


async def test_a_watcher_that_answers_no_heartbeat_is_sent_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ping comes, no pong goes back, and the connection ends with the code for it; who answers stays."""
    monkeypatch.setattr(monitoring, "PONG_WITHIN_S", 0.2)
    async with open_house(tmp_path, heartbeat_s=0.1) as house, watching(house) as lively:
        said = b""
        async with await house.raw(house.monitoring) as stream:
            assert await upgrade(house, stream) == b"HTTP/1.1 101"
            async for part in stream:
                said += part
        assert b"\x89" in said
        assert struct.pack("!H", monitoring.SLOW_WATCHER) + b"no answer to a heartbeat" in said
        assert (await asked(lively, type="ping"))["type"] == "pong"


@pytest.mark.slow
async def test_a_watcher_that_does_not_read_holds_nobody_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """News by the megabyte: one watcher takes nothing and is dropped, the other one gets every piece in order."""
    monkeypatch.setattr(monitoring, "SEND_WITHIN_S", 0.5)
    watchers = house.service.house.newsroom.watchers

    def followers() -> int:
        return sum("runs" in each.topics for each in watchers._by_id.values())

    async with watching(house) as lively, await house.raw(house.monitoring) as slow:
        assert await upgrade(house, slow) == b"HTTP/1.1 101"
        await slow.send_all(frame('{"type": "subscribe", "topics": ["runs"]}'))
        assert (await asked(lively, type="subscribe", topics=["runs"]))["type"] == "snapshot"
        while followers() < 2:
            await trio.lowlevel.checkpoint()
        for number in range(400):
            watchers.tell(("runs",), json.dumps({"type": "filler", "n": number, "text": "x" * 60_000}).encode())
            assert (await heard(lively))["n"] == number
        while followers() > 1:
            await trio.lowlevel.checkpoint()


async def test_a_daemon_that_stops_says_so(tmp_path: Path) -> None:
    """Going away has its own code, so that a client knows to come back."""
    told: list[tuple[int, str]] = []

    async def listen(house: House, *, task_status: trio.TaskStatus[None]) -> None:
        async with watching(house) as socket:
            task_status.started()
            told.append(await farewell(socket))

    async with trio.open_nursery() as nursery:
        async with open_house(tmp_path) as house:
            await nursery.start(listen, house)
    assert told == [(monitoring.GOING_AWAY, "the daemon is stopping")]


async def test_a_mistake_of_ours_costs_one_watcher(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What escapes from one connection reaches neither the others nor the listener."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a mistake")

    async with watching(house) as lively:
        with monkeypatch.context() as patch:
            patch.setattr(monitoring._Watcher, "watch", broken)
            async with await house.raw(house.monitoring) as unlucky:
                await upgrade(house, unlucky)
                while await unlucky.receive_some():
                    pass
        assert (await asked(lively, type="ping"))["type"] == "pong"
        async with watching(house) as next_one:
            assert (await asked(next_one, type="ping"))["type"] == "pong"


@pytest.mark.slow
async def test_a_token_that_expires_ends_the_connection(tmp_path: Path) -> None:
    """What was allowed is not allowed for ever."""
    async with open_house(tmp_path, token_ttl_s=3) as house, watching(house) as socket:
        assert await farewell(socket) == (monitoring.TOKEN_EXPIRED, "the token has expired")


async def test_nonsense_is_answered_and_ends_nothing(house: House) -> None:
    """Unknown topics and runs, too many topics, no JSON, a wrong type: an error each, and then a snapshot as asked."""
    async with watching(house) as socket:
        for message, code in (
            ({"type": "subscribe", "topics": ["weather"]}, "invalid"),
            ({"type": "subscribe", "topics": ["run:nope"]}, "not_found"),
            ({"type": "subscribe", "topics": ["runs"] * 101}, "too_many_topics"),
            ({"type": "subscribe", "topics": "runs"}, "not_understood"),
            ({"type": "shout"}, "not_understood"),
            ({"type": "subscribe", "topics": ["runs"], "since": 5}, "not_understood"),
        ):
            answer = await asked(socket, **message)
            assert (answer["type"], answer["code"]) == ("error", code)
        assert (await asked(socket, type="subscribe"))["type"] == "snapshot"


async def test_a_message_that_is_too_long_ends_the_connection(house: House) -> None:
    """What a client can make the daemon keep in memory is bounded; others do not notice."""
    async with watching(house) as lively:
        async with watching(house) as loud:
            await loud.send_message("x" * (monitoring.MESSAGE_BYTES_MAX + 1))
            assert (await farewell(loud))[0] == 1009
        assert (await asked(lively, type="ping"))["type"] == "pong"


async def test_who_may_not_read_runs_may_not_watch_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token without the permission is refused before the upgrade, with 403."""

    async def authenticate(self: object, token: str) -> Principal:
        return Principal("m", "meter", "meter", frozenset({"metrics:read"}))

    monkeypatch.setattr("etlplus.service.identity.IdentityFacet.authenticate", authenticate)
    async with await house.raw(house.monitoring) as stream:
        assert await upgrade(house, stream) == b"HTTP/1.1 403"


async def test_too_many_connections_are_turned_away_until_one_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both listeners count, and who has left or said nonsense counts no more, however long a handshake may take."""
    monkeypatch.setattr(monitoring, "HANDSHAKE_WITHIN_S", 10 * WITHIN_S)
    async with open_house(tmp_path, connections_max=2) as house:
        for port in (house.rest, house.monitoring):
            async with (
                await house.raw(port) as silent,
                await house.raw(port) as babbler,
                await house.raw(port) as third,
            ):
                with trio.fail_after(WITHIN_S):
                    assert await third.receive_some() == b""
                await babbler.send_all(b"nonsense\r\n\r\n")
                assert (await babbler.receive_some()).startswith(b"HTTP/1.1 400")
                await silent.send_eof()
        assert await until_room(house, house.rest, b"GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 200"
        assert await until_room(house, house.monitoring, upgrade_of(house)) == b"HTTP/1.1 101"


async def test_a_listener_that_crashes_starts_again_on_the_same_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is refused meanwhile: the socket belongs to the house, not to the listener."""
    accept, calls = edge.accept, 0

    async def crashing(*args: Any) -> None:
        nonlocal calls
        calls += 1
        if calls <= 4:
            raise RuntimeError("the accept loop broke")
        await accept(*args)

    monkeypatch.setattr(edge, "accept", crashing)
    async with open_house(tmp_path) as house, watching(house) as socket:
        assert (await house.http.get("/api/health")).status_code == 200
        assert (await asked(socket, type="ping"))["type"] == "pong"
    assert calls == 4 + 2


BOARDS = {"queues": ["queues", "limits"], "schedules": ["schedules"], "workers": ["workers"]}


@pytest.mark.parametrize("topic", BOARDS)
async def test_boards_are_watched_like_runs(house: House, topic: str) -> None:
    """A snapshot of what was asked for and of nothing else, then what changes."""
    async with watching(house) as socket:
        snapshot = await asked(socket, type="subscribe", topics=[topic])
        assert snapshot["type"] == "snapshot"
        assert [name for board in BOARDS.values() for name in board if name in snapshot] == BOARDS[topic]
        if topic == "queues":
            await house.service.queues.pause("default")
            told = await heard(socket)
            assert [each["queue"]["mode"] for each in told["queues"]] == ["paused"]
            assert told["n"] > snapshot["n"]


@pytest.mark.parametrize(
    ("topic", "needed"), [("queues", "queues:read"), ("schedules", "jobs:read"), ("workers", "system:read")]
)
async def test_a_board_is_shown_to_those_who_may_read_it(
    house: House, monkeypatch: pytest.MonkeyPatch, topic: str, needed: str
) -> None:
    """Others are told what they lack, and the connection goes on."""

    async def authenticate(self: object, token: str) -> Principal:
        return Principal("m", "meter", "meter", frozenset({"runs:read"}))

    monkeypatch.setattr("etlplus.service.identity.IdentityFacet.authenticate", authenticate)
    async with watching(house) as socket:
        refused = await asked(socket, type="subscribe", topics=["runs", topic])
        assert (refused["type"], refused["code"]) == ("error", "forbidden")
        assert needed in refused["detail"]
        assert (await asked(socket, type="subscribe", topics=["runs"]))["type"] == "snapshot"
