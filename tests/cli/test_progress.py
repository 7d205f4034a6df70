"""A run is shown by one line that redraws itself on a terminal, and by a few plain lines elsewhere."""

import io
from datetime import UTC, datetime

import msgspec
import pytest

from etlplus.actors.news import ProgressNews, RunNews
from etlplus.cli.following import exit_of_run, follow
from etlplus.cli.progress import ProgressLine, summary
from etlplus.jobs.outcome import Figures, Progress, RunError, SinkOutcome
from etlplus.jobs.views import RunView

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(**changes) -> RunView:
    view = RunView(
        id="r1",
        job_id="j1",
        job_name="people",
        job_version=1,
        state="queued",
        cause="manual",
        queue="default",
        priority=0,
        version=1,
        attempt=0,
        attempts_max=3,
        cancel_requested=False,
        run_at=NOW,
        created_at=NOW,
        started_at=None,
        finished_at=None,
        params={},
        error=None,
        figures=None,
    )
    return msgspec.structs.replace(view, **changes)


async def told(*news):
    for each in news:
        yield each


def of(view: RunView) -> RunNews:
    return RunNews(n=1, at=NOW, run=view)


def progress(version: int, share: float, rows: int) -> ProgressNews:
    report = Progress("loading", rows_read=rows, share=share)
    return ProgressNews(n=1, at=NOW, run_id="r1", version=version, attempt=1, progress=report)


async def test_a_run_is_followed_to_its_end():
    """Following ends with the first final state, and gives the run as it ended."""
    done = run(state="succeeded", version=3)
    ended = await follow(
        run(), told(of(run(state="running", version=2)), progress(2, 0.5, 10), of(done)), ProgressLine(io.StringIO())
    )
    assert ended == done
    assert exit_of_run(ended) == 0


async def test_old_news_and_news_of_others_change_nothing():
    """What is not newer, or not about this run, is dropped."""
    other = msgspec.structs.replace(run(state="failed", version=9), id="r2")
    news = told(of(other), of(run(state="failed", version=1)), progress(0, 0.9, 1), of(run(state="failed", version=4)))
    stream = io.StringIO()
    ended = await follow(run(state="running", version=3), news, ProgressLine(stream))
    assert (ended.state, ended.version) == ("failed", 4)
    assert exit_of_run(ended) == 1
    assert "90%" not in stream.getvalue()


def test_off_a_terminal_a_line_is_written_when_something_changed():
    """A log gets a line for each quarter of the work and each phase, not for each percent."""
    stream = io.StringIO()
    line = ProgressLine(stream)
    for percent in range(101):
        line.show("running", Progress("loading", rows_read=percent, share=percent / 100))
    line.close()
    assert "\r" not in stream.getvalue()
    assert [text.split("]")[1].split()[0] for text in stream.getvalue().splitlines()] == [
        "0%",
        "25%",
        "50%",
        "75%",
        "100%",
    ]


def test_on_a_terminal_the_line_redraws_itself_and_leaves():
    """A shorter text leaves nothing of a longer one, and the end leaves an empty line."""
    stream = Terminal()
    line = ProgressLine(stream)
    line.show("running", Progress("loading", rows_read=1_000_000, bytes_read=1, bytes_total=2))
    line.show("done")
    line.close()
    drawn = stream.getvalue().split("\r")
    assert "50%" in drawn[1]
    assert len(drawn[2]) == len(drawn[1])
    assert drawn[-1] == ""
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_summary_says_why(state):
    """The error's code, sentence and problems are shown for a run that did not succeed."""
    text = summary(run(state=state, attempt=3, error=RunError("data_error", "no such column", problems=("a:1",))))
    assert f"{state} (attempt 3 of 3)" in text
    assert "data_error: no such column" in text
    assert "a:1" in text


def test_a_summary_shows_the_balance_and_each_sink():
    """A reader can add the figures up, and sees under which guarantee each destination was written."""
    sinks = (SinkOutcome("table", "sqlite", "transactional", "replace", 90, 1),)
    figures = Figures(rows_read=100, rows_loaded=90, rows_quarantined=10, sinks=sinks, broken_rules={"known": 10})
    text = summary(run(state="succeeded", figures=figures))
    assert "100 read = 90 loaded + 0 unchanged + 0 filtered + 0 deduplicated + 10 quarantined" in text
    assert "table: 90 rows, replace, transactional" in text
    assert "rule known: 10 rows broke it" in text


def test_a_summary_of_what_is_no_load_has_no_balance():
    """A command or a function reads no rows: a line of zeros would say that it had nothing to do."""
    assert "read" not in summary(run(state="succeeded", figures=Figures()))
