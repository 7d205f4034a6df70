"""
What an attempt has to say: how far it is, what it moved, and how it ended.

These records travel from the engine's child process to the daemon, into the store and out to people; none of them holds
a row of data.
"""

from __future__ import annotations

import msgspec

from etlplus.jobs.texts import plain


class StepCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """The ledger line of one step: every row that came in is accounted for by what went out or was set aside.

    The law depends on the kind of step (a filter: in = out + filtered; a validation, and the reading of a source: in =
    out + quarantined; a join: in = matched + unmatched; an aggregate: the group sizes add up to in). The load checks it
    before it commits.
    """

    step: str
    kind: str
    rows_in: int
    rows_out: int
    filtered: int = 0
    quarantined: int = 0
    deduplicated: int = 0
    matched: int = 0
    unmatched: int = 0


class SinkOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one sink holds after the attempt: rows committed, under which guarantee, and by which attempt."""

    sink: str
    kind: str
    guarantee: str
    mode: str
    rows: int
    committed_by: int
    target: str = ""


class Figures(msgspec.Struct, frozen=True, omit_defaults=True):
    """The balance of a load, along the path of its main sink: read = loaded + unchanged + filtered + deduplicated +
    quarantined.
    """

    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    rows_filtered: int = 0
    rows_deduplicated: int = 0
    rows_unchanged: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    memory_peak_bytes: int = 0
    steps: tuple[StepCount, ...] = ()
    sinks: tuple[SinkOutcome, ...] = ()
    broken_rules: dict[str, int] = {}
    rejects_file: str = ""


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an attempt is. ``share`` is 0.0 to 1.0 when the amount of work is known, else None."""

    phase: str
    rows_read: int = 0
    rows_loaded: int = 0
    rows_quarantined: int = 0
    bytes_read: int = 0
    bytes_total: int = 0
    share: float | None = None


MESSAGE_CHARS_MAX = 10_000
"""Of what an error says: it goes with every picture of its run. A longer one is cut; the whole of it is in the log."""
_CUT = " … (cut)"


class RunError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an attempt ended badly: a stable code, a sentence for people, and whether trying again can help, perhaps only
    after ``retry_after_s``. The code is one of ``codes.ERROR_CODES``.
    """

    code: str
    message: str
    retryable: bool = False
    problems: tuple[str, ...] = ()
    retry_after_s: float | None = None

    def __post_init__(self) -> None:
        """What a program says of its error may be no text that can be kept, or a very long one."""
        said = (self.message, *self.problems)
        if not all(text.isascii() and len(text) <= MESSAGE_CHARS_MAX for text in said):
            message, *problems = map(_kept, said)
            msgspec.structs.force_setattr(self, "message", message)
            msgspec.structs.force_setattr(self, "problems", tuple(problems))


def _kept(text: str) -> str:
    text = plain(text)
    return text if len(text) <= MESSAGE_CHARS_MAX else text[: MESSAGE_CHARS_MAX - len(_CUT)] + _CUT


class Succeeded(msgspec.Struct, frozen=True, tag="succeeded", gc=False):
    """The load is committed in every sink; ``figures`` reconcile."""

    figures: Figures


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The attempt failed; nothing half-loaded is visible in any sink. ``figures`` say how far it came, where known."""

    error: RunError
    figures: Figures | None = None


class Cancelled(msgspec.Struct, frozen=True, tag="cancelled"):
    """A person asked for it and the attempt obeyed; nothing half-loaded is visible."""


class Returned(msgspec.Struct, frozen=True, tag="returned"):
    """The worker gave the run back unharmed (drain, lost lease); the attempt does not count against the run."""

    reason: str


Result = Succeeded | Failed | Cancelled | Returned
