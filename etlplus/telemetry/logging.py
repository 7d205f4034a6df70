"""
Logging: one event per line, readable on a terminal, JSON for machines, never on standard output.

Every room logs with ``structlog.get_logger()``; libraries that use the standard library's logging come out the same way.
Whoever works on an attempt binds it, so that each line of that work names its run.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def set_up_logging(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """
    Decide, for the whole process, which lines are written, how and where.

    Args:
        level: The least important kind that is written: debug, info, warning or error.
        form: text, json, or auto: text when the stream is a terminal.
        stream: Where to write; standard error unless said.
    """
    out: TextIO = sys.stderr if stream is None else stream
    number: int = getattr(logging, level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    as_text = form == "text" or (form == "auto" and out.isatty())
    render = _text(out) if as_text else _json()
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,  # so that setting up again, as tests do, is heard by every module
    )
    _set_up_libraries(max(number, logging.WARNING), out, shared, render)


def about_run(run_id: str, attempt: int) -> None:
    """From now on, every line logged by this task and those it starts names the run and the attempt."""
    structlog.contextvars.bind_contextvars(run=run_id, attempt=attempt)


def _text(stream: TextIO) -> list[Processor]:
    colors = stream.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.dev.ConsoleRenderer(
            colors=colors, timestamp_key="at", exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, _encode]


def _encode(_logger: WrappedLogger, _name: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def _set_up_libraries(number: int, stream: TextIO, shared: list[Processor], render: list[Processor]) -> None:
    """Lines of the standard library's logging take the same road; only warnings and worse, which are for operators."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, cast("Processor", structlog.stdlib.add_logger_name)],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
