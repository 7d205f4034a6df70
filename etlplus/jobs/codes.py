"""
The codes of errors with which an attempt or a run may end. There are no others: what a function raises, or the status with which
a command ends, is told by the message, and its code is one of these.
"""

from __future__ import annotations

from difflib import get_close_matches

ERROR_CODES = frozenset(
    {
        "command_failed",
        "command_not_started",
        "data_error",
        "destination_full",
        "destination_unavailable",
        "engine_lost",
        "function_error",
        "gave_up",
        "internal",
        "invalid_params",
        "invalid_plan",
        "ledger_mismatch",
        "out_of_memory",
        "queue_timeout",
        "retry_later",
        "returned",
        "source_changed",
        "source_unreadable",
        "stale",
        "timeout",
        "total_timeout",
        "unknown_function",
        "worker_lost",
    }
)


def nearest_code(word: str) -> str:
    """What somebody may have meant who wrote a code that there is not; else all that there are."""
    if near := get_close_matches(word[:64].lower(), sorted(ERROR_CODES), n=1):
        return f"did you mean {near[0]!r}?"
    return f"one of {', '.join(sorted(ERROR_CODES))}"
