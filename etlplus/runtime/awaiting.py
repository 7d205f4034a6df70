"""
Handlers may be sync or async: the one place that tells what came back from one.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeGuard


def is_awaitable(result: Any) -> TypeGuard[Awaitable[Any]]:
    """Whether a handler was async."""
    return isinstance(result, Awaitable)


async def finish(result: Any) -> Any:
    """The value of what a handler returned: itself, or what it comes to when it is awaited."""
    return await result if is_awaitable(result) else result
