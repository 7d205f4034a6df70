"""
Why a run is not running, in plain sentences: each says what is so, and who or what can change it.
"""

from __future__ import annotations

from etlplus.jobs.explaining import (
    Behind,
    Ending,
    Explanation,
    Fact,
    InHand,
    NotDue,
    NoWorker,
    Over,
    QueuePaused,
    RateSpent,
    SlotsTaken,
    Unread,
    WaitsForRuns,
    WorkersBusy,
)
from etlplus.jobs.kinds import CALLS
from etlplus.jobs.queues import COUNTED_MAX
from etlplus.service.views import Why

NAMED_MAX = 3


def why(explanation: Explanation) -> Why:
    """An explanation with its sentences; without any fact, the next claim of a worker takes the run."""
    sentences = [sentence(fact) for fact in explanation.facts]
    return Why(
        run_id=explanation.run_id,
        state=explanation.state.value,
        facts=list(explanation.facts),
        sentences=sentences or ["Nothing is in its way: the next free worker takes it."],
    )


def sentence(fact: Fact) -> str:
    """One fact for a person."""
    match fact:
        case Over(state):
            return f"It has ended: {state}. It waits for nothing."
        case InHand(worker_id, since):
            return f"It is running: worker {worker_id} has carried it since {since:%Y-%m-%d %H:%M:%SZ}."
        case Ending(since):
            return f"It was asked to end at {since:%Y-%m-%d %H:%M:%SZ}, and has not yet; until it does, it keeps its slots."
        case NotDue(due_at):
            return f"Its time has not come: it is due at {due_at:%Y-%m-%d %H:%M:%SZ}."
        case WaitsForRuns():
            return "It waits for other runs to end."
        case QueuePaused(queue):
            return f"The queue {queue!r} is paused; somebody has to open it (etlplus queues resume {queue})."
        case SlotsTaken():
            return _slots_taken(fact)
        case RateSpent(of, key, rate, next_at):
            whose = "the whole house" if of == "house" else f"the limit key {key!r}"
            pace = f"{rate.count:,} in {rate.per_s:g} s"
            return f"The rate of {whose} ({pace}) is used up; the next token comes at {next_at:%Y-%m-%d %H:%M:%S.%fZ}."
        case Unread(version, fault):
            return f"Version {version} of its job, which it was made from, is set aside: {fault}. A node that starts looks again."
        case NoWorker(labels, workers):
            return _no_worker(labels, workers)
        case WorkersBusy(worker_ids):
            return f"Every slot is busy in {_count(len(worker_ids), 'worker')} that may carry it."
        case Behind(ahead):
            runs = f"{ahead:,} or more runs" if ahead >= COUNTED_MAX else _count(ahead, "run")
            return f"{runs} of its lane {'rank' if ahead != 1 else 'ranks'} before it."


def _slots_taken(fact: SlotsTaken) -> str:
    whose = {"house": "the whole house", "queue": "its queue", "limit": f"the limit key {fact.key!r}"}[fact.of]
    named = ", ".join(fact.held_by[:NAMED_MAX])
    more = f" and {fact.held - NAMED_MAX:,} more" if fact.held > NAMED_MAX else ""
    return f"{fact.held:,} of {fact.slots:,} slots of {whose} are taken, by {named}{more}."


def _no_worker(labels: tuple[str, ...], workers: int) -> str:
    if not workers:
        return "No worker is alive."
    named = [f"the function {each.removeprefix(CALLS)}" if each.startswith(CALLS) else each for each in labels]
    return f"It asks for a worker with {', '.join(named)}; of {_count(workers, 'live worker')}, none has that."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
