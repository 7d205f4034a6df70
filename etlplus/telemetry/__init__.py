"""
Meters: what etlplus says about itself, as names with meaning, and the set-up that turns them into lines and figures.

The catalog lists every event and every metric once. Rooms log through structlog under the catalog's names; the fuse box
tells the meters where to read. Only the lateness of the loop is measured here, since it belongs to no room. Nothing here
decides or opens a socket.
"""

from etlplus.telemetry.catalog import EVENTS, METRICS, Metric
from etlplus.telemetry.histogram import Histogram
from etlplus.telemetry.lateness import Lateness
from etlplus.telemetry.logging import about_run, set_up_logging
from etlplus.telemetry.meters import Meters, exported

__all__ = ["EVENTS", "METRICS", "Histogram", "Lateness", "Meters", "Metric", "about_run", "exported", "set_up_logging"]
