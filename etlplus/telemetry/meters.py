"""
The meters: figures that are read when somebody asks for them, and cost nothing in between.

Called by the fuse box, which knows where each figure lives. A metric without a reading is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from etlplus.telemetry.catalog import Metric
from etlplus.telemetry.histogram import Histogram

Value = float | Histogram | Mapping[str, float] | Mapping[str, Histogram]
Reading = Callable[[], Value]
"""Gives the present value; by the label's value for a metric that has a label; histograms whole. Called from the daemon's
own thread."""


class Meters(Collector):
    """All readings of one service, exported through its registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._readings: dict[Metric, Reading] = {}
        registry.register(self)

    def read(self, metric: Metric, reading: Reading) -> None:
        """Say where a metric is read; once per metric.

        Raises:
            ValueError: the metric has a reading already.
        """
        if metric in self._readings:
            raise ValueError(f"{metric.name} has a reading already")
        self._readings[metric] = reading

    def collect(self) -> Iterator[Family]:
        """Read everything now (called by the registry)."""
        for metric, reading in self._readings.items():
            yield _family(metric, reading())


_FAMILIES: dict[str, Any] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


def exported(values: Mapping[Metric, Value]) -> bytes:
    """Values that are known already, in the Prometheus text format."""
    registry = CollectorRegistry()
    meters = Meters(registry)
    for metric, value in values.items():
        meters.read(metric, lambda value=value: value)
    return generate_latest(registry)


def _family(metric: Metric, value: Value) -> Family:
    family = _FAMILIES[metric.kind](metric.name, metric.sentence, labels=[metric.label] if metric.label else [])
    for label, one in value.items() if isinstance(value, Mapping) else [("", value)]:
        labels = [label] if metric.label else []
        if isinstance(one, Histogram):
            buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in one.cumulative()]
            family.add_metric(labels, buckets, one.sum)
        else:
            family.add_metric(labels, one)
    return family
