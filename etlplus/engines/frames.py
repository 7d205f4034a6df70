"""
The frames between the daemon and an engine's child: tagged records in msgpack, each behind its length.

The same file serves both ends; reading and writing are plain functions on bytes and streams that the ends bring along.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from etlplus.engines.order import LoadOrder
from etlplus.errors import Problem
from etlplus.jobs.outcome import Figures, Progress, RunError

FRAME_BYTES_MAX = 64 * 1024 * 1024
_LENGTH_BYTES = 4
T = TypeVar("T")


class GarbledFrame(Exception):
    """What arrived is no frame of ours; the stream cannot be trusted any more."""


class FrameTooLarge(Exception):
    """What was to be sent is more than the other end accepts."""


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Carry this attempt, until ``deadline`` (seconds of the boot-time clock) unless it is extended."""

    order: LoadOrder
    deadline: float


class Check(msgspec.Struct, frozen=True, tag="check"):
    """Say what is wrong with this plan."""

    order: LoadOrder


class Extend(msgspec.Struct, frozen=True, tag="extend"):
    """The lease moved."""

    deadline: float


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """End now, in order."""


class Stored(msgspec.Struct, frozen=True, tag="stored"):
    """The bounds are stored."""


ToChild = Load | Check | Extend | Cancel | Stored


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The child has loaded its libraries and waits for an order."""


class Reported(msgspec.Struct, frozen=True, tag="progress"):
    """How far the load is."""

    progress: Progress


class Freeze(msgspec.Struct, frozen=True, tag="freeze"):
    """Store these bounds; the child waits for ``Stored``."""

    bounds: dict[str, Any]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The load is committed."""

    figures: Figures


class Broken(msgspec.Struct, frozen=True, tag="broken"):
    """The load failed; nothing half-loaded is visible."""

    error: RunError


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The load was interrupted, and rolled back."""

    reason: str


class Checked(msgspec.Struct, frozen=True, tag="checked"):
    """What is wrong with the plan."""

    problems: tuple[Problem, ...]


FromChild = Ready | Reported | Freeze | Done | Broken | Ended | Checked

_to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
_encode = msgspec.msgpack.Encoder().encode


def encode(frame: ToChild | FromChild) -> bytes:
    """The bytes of a frame, length first.

    Raises:
        FrameTooLarge: it has more than 64 MiB.
    """
    body = _encode(frame)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameTooLarge(f"a frame of {len(body)} bytes is over the limit of {FRAME_BYTES_MAX}")
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def body_length(head: bytes) -> int:
    """The length that a frame's head announces.

    Raises:
        GarbledFrame: no frame of ours is that long.
    """
    length = int.from_bytes(head, "big")
    if length > FRAME_BYTES_MAX:
        raise GarbledFrame(f"a frame of {length} bytes is announced")
    return length


def _decoded(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise GarbledFrame(str(error)) from error


def read_order(read: Callable[[int], bytes]) -> ToChild | None:
    """In the child: the next frame, or None at the end. ``read(n)`` gives n bytes, fewer only at the end."""
    head = read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    body = read(body_length(head))
    return _decoded(_to_child, body)


async def read_report(read: Callable[[int], Awaitable[bytes]]) -> FromChild | None:
    """In the daemon: the next frame, or None at the end."""
    head = await read(_LENGTH_BYTES)
    if len(head) < _LENGTH_BYTES:
        return None
    length = body_length(head)
    body = await read(length)
    if len(body) < length:
        return None
    return _decoded(_from_child, body)
