"""Pages with HTTP examples: their requests are sent in order, and what comes back has to be what the page shows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

EXAMPLE = re.compile(r"^```http\n(?P<request>[A-Z]+ /.*?)^```$\s+^```http\n(?P<answer>\d{3} .*?)^```$", re.M | re.S)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ANY = "…"


@dataclass(frozen=True)
class Example:
    """A request, and the answer that the page shows for it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer: str


def examples(text: str) -> list[Example]:
    """The examples of a page, in order."""
    found: list[Example] = []
    for block in EXAMPLE.finditer(text):
        head, _, body = block["request"].partition("\n\n")
        first, *lines = head.strip().split("\n")
        method, _, path = first.partition(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        status, _, answer = block["answer"].partition("\n\n")
        found.append(Example(method, path, headers, body.strip(), int(status[:3]), answer.strip()))
    return found


@dataclass
class Reader:
    """Who types the examples in: ids and secrets that the page shows stand for those that really came."""

    known: dict[str, str] = field(default_factory=dict)

    def typed(self, text: str) -> str:
        """A request as it has to be sent."""
        for shown, real in self.known.items():
            text = text.replace(shown, real)
        return text

    def differences(self, shown: Any, real: Any, place: str = "") -> list[str]:
        """Where an answer is not what the page shows. ``…`` stands for anything, or for anything more."""
        match shown, real:
            case "…", _:
                return []
            case dict(), dict():
                missing = [key for key in shown if key not in real and key != ANY]
                more = [key for key in real if key not in shown] if ANY not in shown else []
                found = [f"{place}/{key}: only on one side" for key in [*missing, *more]]
                both = [key for key in shown if key in real]
                return found + [d for key in both for d in self.differences(shown[key], real[key], f"{place}/{key}")]
            case list(), list():
                open_end = shown[-1:] == [ANY]
                wanted = shown[:-1] if open_end else shown
                if len(real) < len(wanted) or (len(real) > len(wanted) and not open_end):
                    return [f"{place}: {len(real)} items, not {len(wanted)}"]
                pairs = enumerate(zip(wanted, real, strict=False))
                return [d for at, (a, b) in pairs for d in self.differences(a, b, f"{place}/{at}")]
            case str(), str() if UUID.fullmatch(shown) and UUID.fullmatch(real):
                return [] if self.known.setdefault(shown, real) == real else [f"{place}: another id than before"]
            case str(), str() if MOMENT.fullmatch(shown) and MOMENT.fullmatch(real):
                return []
            case str(), str():
                pattern = ".*".join(map(re.escape, self.typed(shown).split(ANY)))
                return [] if re.fullmatch(pattern, real) else [f"{place}: {real!r}, not {shown!r}"]
            case _:
                return [] if shown == real else [f"{place}: {real!r}, not {shown!r}"]


def read_json(text: str) -> Any:
    return msgspec.json.decode(text)
