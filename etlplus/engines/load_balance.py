"""
The balance of a load: the path from a sink back to its source, and the figures along it.

Pure arithmetic over counted steps; what does not add up is a sentence, and a sentence keeps the load from committing.
"""

from __future__ import annotations

from collections.abc import Iterable

from etlplus.jobs.outcome import Figures, StepCount
from etlplus.pipeline.ledger import broken_laws
from etlplus.pipeline.plan import AnyStep, Pipeline


def path_to(plan: Pipeline, name: str) -> tuple[str, list[AnyStep]]:
    """The source that feeds ``name``, and the steps between, in the order of the rows' way."""
    steps = {step.id: step for step in plan.steps}
    path: list[AnyStep] = []
    while name in steps:
        path.append(steps[name])
        name = steps[name].input
    return name, path[::-1]


def figures(plan: Pipeline, counts: Iterable[StepCount]) -> Figures:
    """The balance along the main sink's path; ``counts`` are of sources and steps. Behind an aggregate rows are groups:
    loaded are then the rows that went into it, so that the balance still speaks of the source's rows.
    """
    counted = {count.step: count for count in counts}
    source, path = path_to(plan, plan.sinks[0].input)
    loaded = filtered = quarantined = 0
    for count in (counted[name] for name in (source, *(step.id for step in path))):
        if count.kind == "aggregate":
            break
        filtered += count.filtered
        quarantined += count.quarantined
        loaded = count.rows_out
    return Figures(
        rows_read=counted[source].rows_in,
        rows_loaded=loaded,
        rows_quarantined=quarantined,
        rows_filtered=filtered,
        steps=tuple(counted.values()),
    )


def imbalances(plan: Pipeline, counts: Iterable[StepCount], staged: dict[str, int]) -> list[str]:
    """A sentence for every place at which rows were lost or doubled; ``staged`` are the rows of the sinks."""
    counted = {count.step: count for count in counts}
    said = broken_laws(counted.values())
    for step in plan.steps:
        if (found := counted[step.id].rows_in) != (due := counted[step.input].rows_out):
            said.append(f"step {step.id!r} took {found} rows from {step.input!r}, which has {due}")
    for sink in plan.sinks:
        if sink.id in staged and (found := staged[sink.id]) != (due := counted[sink.input].rows_out):
            said.append(f"sink {sink.id!r} staged {found} rows from {sink.input!r}, which has {due}")
    sums = figures(plan, counted.values())
    if sums.rows_read != (due := sums.rows_loaded + sums.rows_filtered + sums.rows_quarantined):
        said.append(f"{sums.rows_read} rows were read, but {due} are loaded, filtered or quarantined")
    return said
