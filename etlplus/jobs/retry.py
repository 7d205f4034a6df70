"""
Whether a failed attempt is followed by another, and how long to wait in between.
"""

from __future__ import annotations

from random import Random

from msgspec.structs import replace

from etlplus.jobs.model import RetryPolicy
from etlplus.jobs.outcome import RunError

WAIT_MAX_S = 366 * 86_400.0
"""However a policy came to be, no run waits longer: a time that no calendar has could not be stored."""
RETRY_AFTER_MAX_S = 86_400.0
"""What an error may ask for at most: a source that says "in a month" would make the run look forgotten."""


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
    wait_s = min(policy.base_s * factor, policy.cap_s, WAIT_MAX_S)
    return wait_s * (1 + policy.jitter * rng.uniform(-1, 1))


def retry_wait_s(
    policy: RetryPolicy, error: RunError, *, attempts_spent: int, attempts_max: int, rng: Random
) -> float | None:
    """
    How long to wait before the next attempt, or None if there is none: trying again cannot help, or no attempt is left.

    Args:
        policy: The policy of the job's version that the run was made from; the first of its rules that names the error's
            code goes before what the error and the policy say.
        error: How the attempt has just ended. The wait is not shorter than what it asks for, even above the cap.
        attempts_spent: The attempts that counted, this one included.
        attempts_max: How many the run has, unless the rule says otherwise.
    """
    rule = next((rule for rule in policy.rules if error.code in rule.codes), None)
    again = error.retryable if rule is None else rule.retry
    if rule is not None:
        attempts_max = rule.attempts_max or attempts_max
        policy = replace(
            policy,
            base_s=policy.base_s if rule.base_s is None else rule.base_s,
            cap_s=policy.cap_s if rule.cap_s is None else rule.cap_s,
        )
    if not again or attempts_spent >= attempts_max:
        return None
    asked_s = min(error.retry_after_s or 0.0, RETRY_AFTER_MAX_S)
    return max(backoff_s(policy, attempts_spent, rng), asked_s)
