"""
Ctrl-C for commands that have something to end in order.

Python raises KeyboardInterrupt wherever the main thread happens to be; inside of a destructor or a callback it is printed and
forgotten, and the command goes on as if nobody had asked. Here the signal is received as what it is, and cancels.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from etlplus.runtime.groups import lone

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


async def interruptible(act: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """
    What ``act`` returns. Ctrl-C cancels it, and it may end in order. Who was started to ignore Ctrl-C, as a shell starts
    what runs in the background of a script, goes on ignoring it.

    Raises:
        KeyboardInterrupt: it was cancelled so.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return await act(*arguments)
    results: list[T] = []
    interrupted = False
    try:
        with trio.open_signal_receiver(signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    nonlocal interrupted
                    await anext(signals)
                    interrupted = True
                    nursery.cancel_scope.cancel()

                nursery.start_soon(listen)
                results.append(await act(*arguments))
                nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        error = lone(group)
        raise error from error.__cause__
    if interrupted or not results:
        raise KeyboardInterrupt
    return results[0]
