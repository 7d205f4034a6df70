"""
The accept loop: one task per connection, and nothing that happens in it reaches the others.

The libraries that speak the protocols let some exceptions of a single client escape, which would take the listener and all
its connections down. Here each connection is caught on its own, counted by the type of what went wrong, and closed.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from etlplus.errors import Misconfigured, Problem

log = structlog.get_logger()

BACKLOG = 512
ACCEPT_PAUSE_S = 0.1
Handle = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass(slots=True)
class Guard:
    """What one listener has seen. ``connections_max`` bounds the open ones; more are closed at once."""

    connections_max: int
    open: int = 0
    turned_away: int = 0
    errors: Counter[str] = field(default_factory=lambda: Counter[str]())


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; it belongs to the caller, so that a restarted listener finds it still listening.

    Raises:
        Misconfigured: the address is taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        problem = Problem(f"cannot listen on {host}:{port}: {error.strerror}", suggestion="a free port, or 0 for any")
        raise Misconfigured("the address cannot be used", [problem]) from error
    listening.setblocking(False)
    return listening


async def accept(listening: socket.socket, handle: Handle, guard: Guard, connections: trio.Nursery) -> None:
    """Take connections until cancelled; they live on in ``connections``. The listening socket stays open."""
    sock = trio.socket.from_stdlib_socket(listening)
    while True:
        try:
            client, _ = await sock.accept()
        except OSError as error:  # out of file descriptors, or the client left between knock and answer
            guard.errors[type(error).__name__] += 1
            await trio.sleep(ACCEPT_PAUSE_S)
            continue
        if guard.open >= guard.connections_max:
            guard.turned_away += 1
            client.close()
            continue
        guard.open += 1
        connections.start_soon(_guarded, handle, client, guard)


async def _guarded(handle: Handle, client: trio.socket.SocketType, guard: Guard) -> None:
    try:
        client.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        stream = trio.SocketStream(client)
        await handle(stream)
    except* Exception as errors:  # noqa: BLE001 - counted and logged: one client must not hurt the others
        for error in _leaves(errors):
            kind = type(error).__name__
            if not guard.errors[kind]:
                log.warning("connection_failed", kind=kind, error=str(error))
            guard.errors[kind] += 1
    finally:
        guard.open -= 1
        client.close()


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found
