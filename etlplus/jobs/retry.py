"""
Whether a failed attempt is followed by another, and how long to wait in between.
"""

from __future__ import annotations

from random import Random

from etlplus.jobs.model import RetryPolicy
from etlplus.jobs.outcome import RunError

RESCUES_MAX = 3
"""So many workers may be lost over a run, without an attempt ending in order, before it is set aside as poison."""


def backoff_s(policy: RetryPolicy, attempt: int, rng: Random) -> float:
    """
    How long to wait before the next attempt: by the policy's kind, capped, then jittered.

    With base_s=2 and no jitter: fixed 2, 2, 2; linear 2, 4, 6; exponential 2, 4, 8 seconds, never above cap_s.

    Args:
        policy: The run's policy.
        attempt: The attempt that counted and has just failed, from 1.
        rng: Source of randomness; a seeded one makes the schedule repeatable.

    Returns:
        Seconds to wait, within [0, cap_s × (1 + jitter)].

    Raises:
        ValueError: attempt is below 1.

    Source:
        M. Brooker, "Exponential Backoff And Jitter" (2015).
    """
    if attempt < 1:
        raise ValueError(f"attempts count from 1, not from {attempt}")
    factor = {"fixed": 1.0, "linear": float(attempt), "exponential": 2.0 ** min(attempt - 1, 60)}[policy.kind]
    wait_s = min(policy.base_s * factor, policy.cap_s)
    return wait_s * (1 + policy.jitter * rng.uniform(-1, 1))


def may_retry(error: RunError, *, attempts_spent: int, attempts_max: int) -> bool:
    """Whether another attempt follows: the error allows it, and not all attempts are spent."""
    return error.retryable and attempts_spent < attempts_max
