"""Lines are readable on a terminal, JSON elsewhere, and name the run they are about."""

import io
import json
import logging

import pytest
import structlog
import trio

from etlplus.telemetry import about_run, set_up_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_off_a_terminal_each_event_is_one_line_of_json():
    """A log collector reads every event as one object, with its time in UTC."""
    stream = io.StringIO()
    set_up_logging("info", "auto", stream)
    structlog.get_logger().warning("store_outage", error="gone")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["error"]) == ("store_outage", "warning", "gone")
    assert line["at"].endswith("Z")


def test_on_a_terminal_the_same_event_is_text(monkeypatch):
    """A person reads a sentence, in color unless NO_COLOR asks otherwise."""
    stream = Terminal()
    set_up_logging("info", "auto", stream)
    structlog.get_logger().warning("store_outage", error="gone")
    assert "store_outage" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    set_up_logging("info", "auto", plain)
    structlog.get_logger().warning("store_outage", error="gone")
    assert "\x1b[" not in plain.getvalue()


def test_lines_below_the_level_are_not_written():
    """The level is the least important kind that is written."""
    stream = io.StringIO()
    set_up_logging("warning", "json", stream)
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


async def test_what_happens_in_the_task_of_an_attempt_names_its_run():
    """Run and attempt are bound for this task and those that it starts, and for no other."""
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    log = structlog.get_logger()

    async def tell(event: str):
        log.info(event)

    async def attempt():
        about_run("r1", 2)
        await tell("inside")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell, "below")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt)
    log.info("after")
    found = {line["event"]: (line.get("run"), line.get("attempt")) for line in lines(stream)}
    assert found == {"inside": ("r1", 2), "below": ("r1", 2), "after": (None, None)}


def test_libraries_speak_the_same_way():
    """A warning through the standard library's logging is JSON too, with the exception as text."""
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    try:
        raise OSError("boom")
    except OSError:
        logging.getLogger("hypercorn.error").exception("listener %s", "broke")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("listener broke", "hypercorn.error", "error")
    assert "OSError: boom" in line["exception"]


def test_a_value_that_json_does_not_know_is_written_as_text():
    """A line is never lost because of what somebody put into it."""
    stream = io.StringIO()
    set_up_logging("info", "json", stream)
    structlog.get_logger().info("odd", thing=object)
    assert lines(stream)[0]["thing"] == "<class 'object'>"
