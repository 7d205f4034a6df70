"""
The meters: figures that are read when somebody asks for them, and cost nothing in between.

Called by the fuse box, which knows where each figure lives. A metric without a reading is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from etlplus.telemetry.catalog import Metric
from etlplus.telemetry.histogram import Histogram

Value = float | Mapping[str, float] | Histogram
Reading = Callable[[], Value]
"""Gives the present value; by the label's value for a metric that has a label; a histogram whole. Called from the daemon's
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


def _family(metric: Metric, value: Value) -> Family:
    if isinstance(value, Histogram):
        buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in value.cumulative()]
        return HistogramMetricFamily(metric.name, metric.sentence, buckets=buckets, sum_value=value.sum)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.sentence, labels=[metric.label] if metric.label else [])
    for label, number in value.items() if isinstance(value, Mapping) else [("", value)]:
        family.add_metric([label] if metric.label else [], number)
    return family
