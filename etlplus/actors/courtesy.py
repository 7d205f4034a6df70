"""
Telling a colleague who may have left: during an orderly stop, actors that started later are gone already.
"""

from __future__ import annotations

from typing import TypeVar

from etlplus.runtime import ActorStopped, Ref, Tell

A = TypeVar("A")


def tell_if_there(ref: Ref[A], message: Tell[A]) -> bool:
    """Tell, unless the actor has stopped for good; what it would have done is then nobody's business any more."""
    try:
        ref.tell(message)
    except ActorStopped:
        return False
    return True
