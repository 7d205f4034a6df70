"""Metrics are read when asked for, under the names, meanings and units of the catalog."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from etlplus.telemetry import EVENTS, METRICS, Meters, Metric
from etlplus.telemetry.catalog import NEWS, WATCHERS


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
