"""
Where the claims of this worker stand, for the two who make them: the dispatcher, and the completer when it hands slots over.

The record outlives both: a dispatcher that crashes leaves no claim behind, but what the completer hands over goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Claiming:
    """Kinds of runs are told apart by whether they call functions.

    ``under_way`` says for how many runs of a kind the dispatcher has asked and has no answer yet; ``asked`` are the kinds for
    which it was woken meanwhile. ``held_up`` are those of which some may wait for a slot under a limit. ``handing_over`` says
    for how many calls the completer is asking while it acknowledges. ``doubt``: the store may count runs as ours that nobody
    carries, since an answer was lost, or may have been.
    """

    under_way: dict[bool, int] = field(default_factory=lambda: dict[bool, int]())
    asked: set[bool] = field(default_factory=lambda: set[bool]())
    held_up: set[bool] = field(default_factory=lambda: set[bool]())
    handing_over: int = 0
    doubt: bool = True

    @property
    def may_hand_over(self) -> bool:
        """Whether calls are known to wait for slots, and what is claimed now is not taken for lost."""
        return True in self.held_up and not self.doubt

    def must_wait(self, calls: bool) -> bool:
        """Whether the dispatcher cannot ask for this kind now. In doubt one at a time: what another one takes meanwhile would
        look as if nobody carried it.
        """
        return calls in self.under_way or (self.doubt and bool(self.under_way or self.handing_over))

    def is_alone(self, calls: bool) -> bool:
        """Whether nothing but the dispatcher's claim of this kind is under way."""
        return self.under_way.keys() <= {calls} and not self.handing_over

    def begin_anew(self) -> None:
        """The dispatcher has begun, or ends: of what it had asked it gets no answer."""
        self.under_way.clear()
        self.asked.clear()
        self.held_up.clear()
        self.doubt = True
