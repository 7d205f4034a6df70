"""Frames come out as they went in, and what is no frame is refused before it is believed."""

import io

import pytest

from etlplus.engines import frames
from etlplus.engines.order import LoadOrder
from etlplus.errors import Problem
from etlplus.jobs.outcome import Figures, Progress, RunError, StepCount

ORDER = LoadOrder(
    run_id="r1",
    attempt=2,
    job_id="j1",
    job_name="job",
    plan={"steps": [{"filter": "a > 1"}]},
    work_dir="/w",
    rejects_dir="/r",
    memory_limit_bytes=1,
    interval=("2020-01-01", "2020-02-01"),
    bounds={"size": 3},
)
TO_CHILD = [
    frames.Load(ORDER, 12.5),
    frames.Load(ORDER, float("inf")),
    frames.Check(ORDER),
    frames.Extend(float("-inf")),
    frames.Cancel(),
    frames.Stored(),
]
FROM_CHILD = [
    frames.Ready(),
    frames.Reported(Progress("read", rows_read=3, share=0.5)),
    frames.Freeze({"size": 2**60}),
    frames.Done(Figures(rows_read=3, steps=(StepCount("s", "filter", 3, 3),))),
    frames.Broken(RunError("data_error", "no", problems=("a",))),
    frames.Ended("cancelled"),
    frames.Checked((Problem("wrong", "/a"),)),
]


async def read_from_child(data):
    stream = io.BytesIO(data)

    async def read(amount):
        return stream.read(amount)

    return await frames.read_report(read)


@pytest.mark.parametrize("frame", TO_CHILD, ids=lambda frame: type(frame).__name__)
def test_what_the_daemon_sends_reaches_the_child_unchanged(frame):
    """Every kind of frame, with infinities and nested plans."""
    assert frames.read_order(io.BytesIO(frames.encode(frame)).read) == frame


@pytest.mark.parametrize("frame", FROM_CHILD, ids=lambda frame: type(frame).__name__)
async def test_what_the_child_sends_reaches_the_daemon_unchanged(frame):
    """Every kind of frame."""
    assert await read_from_child(frames.encode(frame)) == frame


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5])
async def test_a_stream_that_ends_inside_a_frame_has_ended(cut):
    """The other end died while it wrote; half a frame is no frame."""
    assert await read_from_child(frames.encode(frames.Ended("cancelled"))[:cut]) is None


@pytest.mark.parametrize("frame", FROM_CHILD, ids=lambda frame: type(frame).__name__)
def test_a_frame_of_the_wrong_direction_is_refused(frame):
    """The child takes no answers for orders."""
    with pytest.raises(frames.GarbledFrame):
        frames.read_order(io.BytesIO(frames.encode(frame)).read)


@pytest.mark.parametrize(
    "body", [b"\xc1", b"\x80", b"\x81\xa4type\xa3bad", b"\x82\xa4type\xa6extend\xa8deadline\xa1x", b"hello", b""]
)
def test_garbage_is_refused(body):
    """Bytes that are no msgpack, no known kind, or of wrong types."""
    with pytest.raises(frames.GarbledFrame):
        frames.read_order(io.BytesIO(len(body).to_bytes(4, "big") + body).read)


async def test_a_length_that_no_frame_has_is_refused_before_memory_is_taken():
    """A stray text read as a length would ask for gigabytes."""
    with pytest.raises(frames.GarbledFrame, match="announced"):
        await read_from_child(b"stray print")


def test_a_frame_that_the_other_end_would_refuse_is_not_sent():
    """The sender hears of the limit."""
    with pytest.raises(frames.FrameTooLarge, match="over the limit"):
        frames.encode(frames.Freeze({"x": "y" * frames.FRAME_BYTES_MAX}))
