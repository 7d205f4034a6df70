"""
A pooler in transaction mode, for tests: it speaks the protocol of PostgreSQL and knows nothing of who uses it.

A client gets a session of the server when a transaction begins and gives it back when the server says that it is over. The
next transaction gets the session that has rested longest, so two of one client rarely meet the same, and nothing is reset
between them: who relies on a session is found out. What it refuses, PgBouncer refuses too.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import struct
import subprocess
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

CANCEL, SSL, GSS = 80877102, 80877103, 80877104
KNOWN = {
    "user",
    "database",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "standard_conforming_strings",
    "application_name",
}
"""What a client may ask for when it connects; a session has it for all clients or for none."""
SOCKET = ".s.PGSQL.5432"


class Messages:
    """Messages of one end, read one after the other; being cancelled between two loses nothing."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._buffer = bytearray()

    async def startup(self) -> tuple[int, bytes] | None:
        """The code and the body of a first message, which has no kind; None if the other end has gone."""
        if not await self._have(4):
            return None
        (length,) = struct.unpack_from("!I", self._buffer)
        if not await self._have(length):
            return None
        message = self._take(length)
        return struct.unpack_from("!I", message, 4)[0], message[8:]

    async def message(self) -> bytes | None:
        """A whole message; None if the other end has gone."""
        if not await self._have(5):
            return None
        (length,) = struct.unpack_from("!I", self._buffer, 1)
        return self._take(1 + length) if await self._have(1 + length) else None

    def put_back(self, message: bytes) -> None:
        """A message that was read too early."""
        self._buffer[:0] = message

    async def _have(self, amount: int) -> bool:
        while len(self._buffer) < amount:
            try:
                chunk = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return False
            if not chunk:
                return False
            self._buffer += chunk
        return True

    def _take(self, amount: int) -> bytes:
        taken = bytes(self._buffer[:amount])
        del self._buffer[:amount]
        return taken


@dataclass(eq=False)
class Session:
    """A session of the server, what it said of itself, and how to have its query cancelled."""

    messages: Messages
    parameters: list[bytes]
    key: bytes
    cancels: int = 0


class Pooler:
    """At most ``sessions`` of one database, for any number of clients. ``lenient``: what a client asks for when it connects
    is ignored rather than refused.
    """

    def __init__(self, server: str, database: str, sessions: int, lenient: bool) -> None:
        self._server = server
        self._database = database
        self._lenient = lenient
        self._resting, self._rested = trio.open_memory_channel[Session](sessions)
        self._amount = sessions
        self._linked: dict[bytes, Session] = {}
        self._streams: list[trio.SocketStream] = []
        self.transactions = 0

    async def fill(self) -> None:
        for _ in range(self._amount):
            await self._resting.send(await self._open())

    def close(self) -> None:
        """End all sessions, whoever has them."""
        for stream in self._streams:
            stream.socket.close()

    async def ask_all(self, query: str) -> list[bytes]:
        """The first column of all rows that all sessions answer a query with. Nobody else may use the pooler meanwhile."""
        values: list[bytes] = []
        for _ in range(self._amount):
            session = await self._rested.receive()
            body = query.encode() + b"\0"
            await session.messages.stream.send_all(b"Q" + struct.pack("!I", 4 + len(body)) + body)
            while (message := await session.messages.message()) and message[:1] != b"Z":
                assert message[:1] != b"E", message
                if message[:1] == b"D":
                    (length,) = struct.unpack_from("!I", message, 7)
                    values.append(message[11 : 11 + length])
            await self._resting.send(session)
        return values

    async def serve(self, stream: trio.SocketStream) -> None:
        """One client, until it goes."""
        client = Messages(stream)
        async with stream:
            while (first := await client.startup()) and first[0] in (SSL, GSS):
                await sent(stream, b"N")
            if first and first[0] == CANCEL:
                await self._cancel(first[1])
            elif first:
                await self._welcome(client, first[1])

    async def _welcome(self, client: Messages, body: bytes) -> None:
        words = [word.decode() for word in body.split(b"\0") if word]
        if (unknown := sorted(set(words[::2]) - KNOWN)) and not self._lenient:
            fields = b"SFATAL\0C08P01\0Munsupported startup parameter: " + unknown[0].encode() + b"\0\0"
            await sent(client.stream, b"E" + struct.pack("!I", 4 + len(fields)) + fields)
            return
        key = secrets.token_bytes(8)
        session = await self._rested.receive()
        await self._resting.send(session)
        welcome = [b"R" + struct.pack("!II", 8, 0), *session.parameters, b"K" + struct.pack("!I", 12) + key]
        await sent(client.stream, b"".join(welcome) + b"Z\0\0\0\5I")
        while (message := await client.message()) and message[:1] != b"X":
            if not await self._transaction(client, key, message):
                return

    async def _transaction(self, client: Messages, key: bytes, first: bytes) -> bool:
        """Lend a session until it says that it is in no transaction and owes no answer; whether the client is still there."""
        session = await self._rested.receive()
        self._linked[key] = session
        self.transactions += 1
        loan = Loan(client, session.messages)
        try:
            whole = await loan.run(first)
        finally:
            del self._linked[key]
            with trio.CancelScope(shield=True):
                while session.cancels:  # a request to cancel that came late must not meet the next client
                    await trio.lowlevel.checkpoint()
                if not loan.over:
                    await session.messages.stream.aclose()
                    session = await self._open()
                await self._resting.send(session)
        return whole

    async def _cancel(self, key: bytes) -> None:
        if session := self._linked.get(key):
            session.cancels += 1
            try:
                stream = await trio.open_unix_socket(self._server)
                async with stream:
                    await stream.send_all(struct.pack("!II", 16, CANCEL) + session.key)
                    while await stream.receive_some():
                        pass
            finally:
                session.cancels -= 1

    async def _open(self) -> Session:
        messages = Messages(await trio.open_unix_socket(self._server))
        self._streams.append(messages.stream)
        body = f"user\0etlplus\0database\0{self._database}\0application_name\0pooler\0\0".encode()
        await messages.stream.send_all(struct.pack("!II", 8 + len(body), 196608) + body)
        session = Session(messages, [], b"")
        while (message := await messages.message()) and message[:1] != b"Z":
            if message[:1] == b"S":
                session.parameters.append(message)
            elif message[:1] == b"K":
                session.key = message[5:]
            assert message[:1] != b"E", message
        return session


class Loan:
    """A session in the hands of a client. ``over``: it owes nothing and is in no transaction."""

    def __init__(self, client: Messages, server: Messages) -> None:
        self._client = client
        self._server = server
        self._owed = 0  # answers to Sync and Query
        self._begun = False  # something was sent that no Sync has ended
        self.over = False
        self._gone = False

    async def run(self, first: bytes) -> bool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, first, nursery.cancel_scope)
            last = await self._answer()
            nursery.cancel_scope.cancel()
        # Only now may the client hear that it is over: what it says next is for another session.
        return not self._gone and await sent(self._client.stream, last)

    async def _ask(self, message: bytes | None, done: trio.CancelScope) -> None:
        while message and message[:1] != b"X":
            self._begun = message[:1] not in b"SQ"
            self._owed += not self._begun
            with trio.CancelScope(shield=True):
                if not await sent(self._server.stream, message):
                    break
            message = await self._client.message()
            if self.over and message:
                self._client.put_back(message)
                return
        self._gone = True
        done.cancel()

    async def _answer(self) -> bytes:
        """Hand on what the server says; answers with its last word, which is that all is over."""
        while message := await self._server.message():
            if message[:1] == b"Z":
                self._owed -= 1
                if message[5:] == b"I" and not self._owed and not self._begun:
                    self.over = True
                    return message
            if not await sent(self._client.stream, message):
                break
        self._gone = True
        return b""


async def sent(stream: trio.SocketStream, message: bytes) -> bool:
    """Whether the other end was still there."""
    try:
        await stream.send_all(message)
    except trio.BrokenResourceError:
        return False
    return True


@asynccontextmanager
async def open_pooler(
    address: str, *, sessions: int = 3, lenient: bool = False, place: Path | None = None
) -> AsyncGenerator[tuple[Pooler, str]]:
    """A pooler before the database at ``address``, and its own address: in a folder of its own, or in ``place``."""
    database, folder = parts(address)
    pooler = Pooler(f"{folder}/{SOCKET}", database, sessions, lenient)
    place = place or Path(tempfile.mkdtemp(prefix="pooler-"))
    place.mkdir(exist_ok=True)
    try:
        listening = trio.socket.socket(trio.socket.AF_UNIX)
        await listening.bind(f"{place}/{SOCKET}")
        listening.listen(64)
        await pooler.fill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, pooler.serve, [trio.SocketListener(listening)])
            yield pooler, f"postgresql://etlplus@/{database}?host={place}"
            nursery.cancel_scope.cancel()
    finally:
        pooler.close()
        shutil.rmtree(place)


@contextmanager
def pgbouncer(address: str, *, sessions: int = 3) -> Generator[str]:
    """The real one before the database at ``address``, for whoever has it installed; the value is its own address."""
    database, folder = parts(address)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    place = Path(tempfile.mkdtemp(prefix="pooler-"))
    os.chown(place, user.pw_uid, user.pw_gid)
    (place / "users.txt").write_text('"etlplus" ""\n')
    (place / "pgbouncer.ini").write_text(
        f"[databases]\n{database} = host={folder} user=etlplus\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = 5432\nunix_socket_dir = {place}\nauth_type = trust\n"
        f"auth_file = {place}/users.txt\npool_mode = transaction\ndefault_pool_size = {sessions}\nserver_round_robin = 1\n"
    )
    identity: dict[str, Any] = (
        {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if not os.geteuid() else {}
    )
    with subprocess.Popen(["pgbouncer", "-q", place / "pgbouncer.ini"], cwd=place, **identity) as process:
        try:
            while not (place / SOCKET).exists():
                assert process.poll() is None
                os.sched_yield()
            yield f"postgresql://etlplus@/{database}?host={place}"
        finally:
            process.terminate()
    shutil.rmtree(place)


def parts(address: str) -> tuple[str, str]:
    """The database and the folder of the server's socket."""
    path, _, folder = address.partition("?host=")
    return path.rpartition("/")[2], folder
