"""Metrics are read when asked for, under the names, meanings and units of the catalog."""

import time

import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry, generate_latest

from etlplus.telemetry import EVENTS, METRICS, Histogram, Lateness, Meters, Metric
from etlplus.telemetry.catalog import LOOP_LATENESS, NEWS, WATCHERS
from etlplus.telemetry.lateness import EVERY_S


def test_a_metric_is_read_at_the_moment_it_is_asked_for():
    """The export shows the present value, its kind and its sentence."""
    registry, value = CollectorRegistry(), 1.0
    meters = Meters(registry)
    meters.read(WATCHERS, lambda: value)
    meters.read(NEWS, lambda: 7)
    value = 3.0
    text = generate_latest(registry).decode()
    assert f"# HELP etlplus_watchers {WATCHERS.sentence}" in text
    assert "etlplus_watchers 3.0" in text
    assert "# TYPE etlplus_news_total counter\netlplus_news_total 7.0" in text


def test_a_metric_with_a_label_has_one_line_per_value():
    """A split metric names its parts."""
    registry = CollectorRegistry()
    by_state = Metric("etlplus_runs", "gauge", "runs", "Runs by state.", label="state")
    Meters(registry).read(by_state, lambda: {"queued": 2, "running": 1})
    text = generate_latest(registry).decode()
    assert 'etlplus_runs{state="queued"} 2.0' in text
    assert 'etlplus_runs{state="running"} 1.0' in text


def test_a_histogram_is_shown_with_its_bounds_count_and_sum():
    """Each bound counts everything that is not above it; the last one is infinity."""
    registry, values = CollectorRegistry(), Histogram((0.01, 0.1))
    for value in (0.001, 0.01, 0.05, 3.0):
        values.note(value)
    Meters(registry).read(LOOP_LATENESS, lambda: values)
    text = generate_latest(registry).decode()
    for bound, count in (("0.01", 2), ("0.1", 3), ("+Inf", 4)):
        assert f'etlplus_loop_lateness_seconds_bucket{{le="{bound}"}} {count}.0' in text
    assert "etlplus_loop_lateness_seconds_count 4.0" in text
    assert "etlplus_loop_lateness_seconds_sum 3.061" in text


async def test_a_blocked_loop_is_late_and_a_free_one_is_measured():
    """Whatever keeps the loop from its tasks is seen as lateness of at least that length."""
    lateness = Lateness()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lateness.watch)
        await trio.testing.wait_all_tasks_blocked()
        time.sleep(0.25 + EVERY_S)  # noqa: ASYNC251 - the very thing that is to be noticed
        while not lateness.seconds.sum:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    late = dict(lateness.seconds.cumulative())
    assert late[float("inf")] - late[0.2] >= 1


def test_a_metric_has_one_reading():
    """Two places that claim the same figure are a mistake that is told at once."""
    meters = Meters(CollectorRegistry())
    meters.read(WATCHERS, lambda: 0)
    with pytest.raises(ValueError, match="has a reading already"):
        meters.read(WATCHERS, lambda: 0)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_sentence_a_unit_and_a_lawful_name(metric: Metric):
    """Counters end in _total, times in _seconds, and everybody's unit is said."""
    assert metric.sentence.endswith(".")
    assert metric.unit
    assert metric.name.startswith("etlplus_")
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_seconds") == (metric.unit == "s")


def test_every_event_has_a_sentence_and_a_lawful_name():
    """Names of events are words joined by underscores, in order, each with its meaning."""
    assert list(EVENTS) == sorted(EVENTS)
    for name, meaning in EVENTS.items():
        assert name == name.lower().replace(" ", "_")
        assert meaning.endswith(".")
