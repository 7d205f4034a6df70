"""
Showing a run while it happens: one line that redraws itself on a terminal, a few plain lines elsewhere.
"""

from __future__ import annotations

from typing import TextIO

from etlplus.jobs.outcome import Figures, Progress
from etlplus.jobs.views import RunView

BAR_WIDTH = 28
LINE_EVERY_SHARE = 0.25  # plain lines are for logs, where a quarter of the work is news and a percent is noise


class ProgressLine:
    """Draws to one stream. Call ``show`` as often as there is news and ``close`` at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._width = 0
        self._told: tuple[str, int] | None = None

    def show(self, state: str, progress: Progress | None = None) -> None:
        """How far it is now."""
        text = _sentence(state, progress)
        if self._live:
            self._write("\r" + text.ljust(self._width))
            self._width = len(text)
            return
        step = (state if progress is None else progress.phase, int((_share(progress) or 0) / LINE_EVERY_SHARE))
        if step != self._told:
            self._told = step
            self._write(text + "\n")

    def close(self) -> None:
        """Leave the line, so that what follows starts on its own."""
        if self._live and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _share(progress: Progress | None) -> float | None:
    if progress is None or progress.share is not None:
        return progress.share if progress else None
    return progress.bytes_read / progress.bytes_total if progress.bytes_total else None


def _sentence(state: str, progress: Progress | None) -> str:
    if progress is None:
        return f"  {state}"
    share = _share(progress)
    counts = f"{progress.rows_read:,} read, {progress.rows_loaded:,} loaded, {progress.rows_quarantined:,} quarantined"
    if share is None:
        return f"  {progress.phase}: {counts}"
    return f"  [{_bar(share)}] {share:4.0%} {progress.phase}: {counts}"


def _bar(share: float) -> str:
    filled = round(min(max(share, 0.0), 1.0) * BAR_WIDTH)
    return "█" * filled + "·" * (BAR_WIDTH - filled)


def summary(run: RunView) -> str:
    """How a run ended, in a few lines: the error, and of a load the balance, each sink with its guarantee, each broken rule."""
    head = f"run {run.id} of {run.job_name} {run.state} (attempt {run.attempt} of {run.attempts_max})"
    figures = run.figures if run.figures and (run.figures.sinks or run.figures.rows_read) else None
    return "\n".join([head, *_error_lines(run), *(_figure_lines(figures) if figures else [])])


def _error_lines(run: RunView) -> list[str]:
    if run.error is None or run.state == "succeeded":
        return []
    return [f"  {run.error.code}: {run.error.message}", *(f"    {problem}" for problem in run.error.problems)]


def _figure_lines(figures: Figures) -> list[str]:
    balance = (
        f"  {figures.rows_read:,} read = {figures.rows_loaded:,} loaded + {figures.rows_unchanged:,} unchanged"
        f" + {figures.rows_filtered:,} filtered + {figures.rows_deduplicated:,} deduplicated"
        f" + {figures.rows_quarantined:,} quarantined, in {figures.seconds:.1f} s"
    )
    sinks = [f"  {sink.sink}: {sink.rows:,} rows, {sink.mode}, {sink.guarantee}" for sink in figures.sinks]
    rules = [
        f"  {reason}: {count:,} rows could not be read"
        if ":" in reason
        else f"  rule {reason}: {count:,} rows broke it"
        for reason, count in figures.broken_rules.items()
    ]
    return [balance, *sinks, *rules]
