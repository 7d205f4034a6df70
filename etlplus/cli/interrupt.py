"""
Ctrl-C for commands that have something to end in order; and likewise the end of the terminal, or of whoever started them.

Python raises KeyboardInterrupt wherever the main thread happens to be; inside of a destructor or a callback it is printed and
forgotten, and the command goes on as if nobody had asked. The other signals end the process where it stands, and leave behind
what it has started. Here a signal is received as what it is, and cancels.
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from etlplus.runtime.groups import unwrapped

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def interruptible(act: Callable[[*Arguments], Awaitable[T]], *arguments: *Arguments) -> T:
    """
    What ``act`` returns. Each of ``INTERRUPTIONS`` cancels it, and it may end in order. Who was started to ignore one, as a
    shell starts what runs in the background of a script to ignore Ctrl-C, goes on ignoring it.

    Raises:
        KeyboardInterrupt: it was cancelled so.
    """
    heard = [each for each in INTERRUPTIONS if signal.getsignal(each) is not signal.SIG_IGN]
    if not heard:
        return await act(*arguments)
    results: list[T] = []
    interrupted = False
    with unwrapped(), trio.open_signal_receiver(*heard) as signals:
        async with trio.open_nursery() as nursery:

            async def listen() -> None:
                nonlocal interrupted
                await anext(signals)
                interrupted = True
                nursery.cancel_scope.cancel()

            nursery.start_soon(listen)
            results.append(await act(*arguments))
            nursery.cancel_scope.cancel()
    if interrupted or not results:
        raise KeyboardInterrupt
    return results[0]
