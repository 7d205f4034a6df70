"""Figures that stand in the prose of a page are those of the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from etlplus.actors.bellman import QUIET_S
from etlplus.actors.boards import SCHEDULES_MAX
from etlplus.actors.bulletins import PROGRESS_EVERY_S
from etlplus.actors.crew import DEAF_AFTER_S
from etlplus.actors.inspector import LOOK_EVERY_S
from etlplus.actors.pool import OUTAGE_LOOKS
from etlplus.app.daemon import WEDGED_EXIT
from etlplus.app.staff import STOP_MARGIN_S, Rhythm
from etlplus.connectors import parquet_file, sqlite_table
from etlplus.engines.local import LocalOptions
from etlplus.jobs.kinds import Command
from etlplus.jobs.names import PRIORITY_STEP_S
from etlplus.jobs.receipts import KEPT_S
from etlplus.jobs.retry import RETRY_AFTER_MAX_S
from etlplus.jobs.ticks import LATELY
from etlplus.runtime import dead_letters, incarnation, ref
from etlplus.runtime.actor_node import KILL_GRACE_S
from etlplus.runtime.specs import Backoff, Intensity, Mailbox
from etlplus.service.facet import LIMIT_MAX
from etlplus.settings import Settings
from etlplus.web.rest import BURST, KEY_MAX, PER_S, SIGN_IN_BURST, SIGN_IN_PER_S

DOCS = Path(__file__).parents[2] / "docs"
WORDS = {2.0: "two", 3.0: "three", 5.0: "five", 10.0: "ten", 20.0: "twenty"}
HOURS = {3600: "an hour"}
UNITS = {1.0: "second", 60.0: "minute", 86_400.0: "day"}


def told(seconds: float) -> str:
    """A stretch of time as the pages say it: one unit of something, or a number of seconds."""
    return UNITS.get(seconds) or f"{WORDS[seconds]} seconds"


STOP_GRACE_S = LocalOptions(Path(), 0).stop_grace_s
RHYTHM, LEASE, BACKOFF, INTENSITY = Rhythm(), Settings().lease, Backoff(), Intensity()

SAID = [
    ("../README.md", f"a token counts for {HOURS[Settings().auth.token_ttl_s]}"),
    ("semantics.md", f"a {told(PRIORITY_STEP_S)} of waiting weighs as much as one step of priority"),
    ("semantics.md", f"one report a {told(PROGRESS_EVERY_S)} is told"),
    (
        "operations.md",
        f"looked for every {told(RHYTHM.probe_s)}, and for its end every {told(RHYTHM.probe_s / OUTAGE_LOOKS)}",
    ),
    ("operations.md", f"at the latest {LEASE.expiry_s + RHYTHM.rescue_s:g} seconds later"),
    ("operations.md", f"`shutdown.drain_s` and {told(2 * STOP_MARGIN_S)} more"),
    ("operations.md", f"status {WEDGED_EXIT}"),
    ("functions.md", f"{told(DEAF_AFTER_S).capitalize()} later it is told of"),
    ("functions.md", f"waits for `shutdown.drain_s` and {told(2 * STOP_MARGIN_S)}, writes where every task stands"),
    ("functions.md", f"ends with status {WEDGED_EXIT}"),
    ("functions.md", f"The process of a pipeline gets {told(STOP_GRACE_S)} to roll back"),
    (
        "functions.md",
        f"`stop_grace_s` seconds ({WORDS[Command(argv=('true',)).stop_grace_s]} unless you say otherwise)",
    ),
    ("jobs.md", f"a {told(RETRY_AFTER_MAX_S)} at most"),
    ("pipelines.md", f"locked for {sqlite_table.LOCKED_S:g} seconds"),
    ("pipelines.md", f"locked for {parquet_file.LOCKED_S:g} seconds"),
    ("architecture.md", f"at most once in {WORDS[QUIET_S * 1000]} milliseconds each"),
    ("architecture.md", f"progress once a {told(PROGRESS_EVERY_S)}"),
    ("architecture.md", f"looks into the store once a {told(LOOK_EVERY_S)}"),
    ("api.md", f"`?limit=` is 1 to {LIMIT_MAX} (50)"),
    ("api.md", f"{BURST} requests at once and {PER_S:g} a second for each address"),
    ("api.md", f"{SIGN_IN_BURST} and one in {1 / SIGN_IN_PER_S:g} seconds where a password is taken"),
    ("api.md", f"1 to {KEY_MAX} printable characters"),
    ("api.md", f"Within a {told(KEPT_S)}, the same key"),
    ("api.md", f"`schedules`, {SCHEDULES_MAX} at most"),
    ("api.md", f"the newest {WORDS[LATELY]} lines of its ledger"),
    ("runtime/semantics.md", f"bounded ({Mailbox().capacity:,} unless you say otherwise)"),
    ("runtime/semantics.md", f"after {incarnation.SLICE_MAX} messages or {incarnation.SLICE_S * 1000:g} ms"),
    ("runtime/semantics.md", {8: "after every eighth message"}[incarnation.CLOCK_EVERY]),
    ("runtime/semantics.md", f"Every ask has one: {ref.ASK_WITHIN_S:g} seconds unless you say otherwise"),
    ("runtime/semantics.md", f"{WORDS[dead_letters.TOLD_MAX]} in {WORDS[dead_letters.MUTED_S / 60]} minutes at most"),
    ("runtime/semantics.md", f"give it a `drain` shorter than a {told(KILL_GRACE_S)}"),
    ("runtime/first-actor.md", f"({BACKOFF.first_s * 1000:g} ms, then { ({2: 'twice'}[BACKOFF.factor]) } that"),
    ("runtime/first-actor.md", f"{WORDS[INTENSITY.restarts]} restarts within {INTENSITY.within_s:g} seconds"),
]


@pytest.mark.parametrize(("page", "words"), SAID, ids=[f"{page}:{words[:30]}" for page, words in SAID])
def test_a_figure_in_the_prose_is_the_one_of_the_program(page: str, words: str) -> None:
    """Whoever changes the one changes the other."""
    assert words in " ".join((DOCS / page).read_text("utf-8").split())
