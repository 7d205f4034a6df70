"""An engine's child whose load is past the point of no return: it commits although it has been told to end."""

import threading

from etlplus.engines import child
from etlplus.jobs.outcome import Figures, Progress


def load(order, control):
    told = threading.Event()
    control.on_interrupt(told.set)
    control.report(Progress(phase="committing"))
    told.wait()
    if order.plan.get("rolls_back"):
        control.check()
    return Figures(rows_read=7, rejects_file="x" * order.plan.get("letters", 0))


if __name__ == "__main__":
    child.serve(load, lambda order: ())
