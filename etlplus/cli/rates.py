"""
Rates on the command line: ``100/1m`` is a hundred in a minute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from etlplus.errors import Invalid, Problem

if TYPE_CHECKING:
    from etlplus.jobs.rates import Rate

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_RATE = re.compile(r"(\d{1,9})/(\d{0,9})([smhd])")


def rate_of(text: str | None, burst: int | None) -> Rate | None:
    """
    The rate that somebody wrote as a number of runs, a slash and a period: ``5/s``, ``100/1m``, ``1000/24h``.

    Raises:
        Invalid: it is none, or a burst is given without one.
    """
    from etlplus.jobs.rates import Rate  # help must not wait for it

    found = _RATE.fullmatch(text) if text is not None else None
    if text is None and burst is None:
        return None
    if found is None:
        message = f"--rate: {text!r} is no rate" if text is not None else "--burst belongs to a --rate"
        suggestion = "accepted: so many runs in a while, such as 5/s, 100/1m or 1000/24h"
        raise Invalid("A value of the command line is refused.", [Problem(message, suggestion=suggestion)])
    count, amount, unit = found.groups()
    return Rate(count=int(count), per_s=int(amount or 1) * _UNITS_S[unit], burst=burst)


def period(seconds: float) -> str:
    """A period in its largest whole unit, as ``rate_of`` reads it: 60 is ``1m``."""
    unit, size = max(((unit, size) for unit, size in _UNITS_S.items() if seconds % size == 0), key=lambda each: each[1])
    return f"{seconds / size:g}{unit}"
