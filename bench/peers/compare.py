"""
All peers in turn with ours on the same server: how many times their runs per second we do. The absolute figures are for
orientation; they say little beyond the machine and the hour they were taken on.

PostgreSQL syncs each commit to disk, as it does wherever somebody's work matters: without that, whoever commits once for each run
seems quicker than anybody will ever see it.
"""

from __future__ import annotations

from bench.measure import Figures
from bench.peers.burning import Burned, Unavailable, burn
from bench.peers.roster import PEERS
from bench.runs import burn_s
from etlplus.testing.servers import private_postgres, private_valkey

REPETITIONS = 5


def measure(figures: Figures, repetitions: int = REPETITIONS) -> None:
    """Burn with every peer, again and again in turn, and note the best of each in runs per second.

    Raises:
        PeerFailed: one of them did not do its runs.
    """
    burned: dict[str, list[Burned]] = {name: [] for name in PEERS}
    ours: list[float] = []
    with private_postgres(fsync="on") as postgres, private_valkey() as valkey:
        addresses = {"postgres": postgres, "valkey": valkey}
        for repetition in range(repetitions):
            ours.append(burn_s(postgres))
            for name, peer in PEERS.items():
                if repetition and not burned[name]:
                    continue  # it was not available the first time
                outcome = burn(peer, peer.runs, addresses)
                if isinstance(outcome, Unavailable):
                    print(f"{name}: not available here: {outcome.reason}")
                else:
                    burned[name].append(outcome)
    for name, measured in burned.items():
        if measured:
            _note(figures, name, measured)
            figures.ratio(f"burn_vs_{name.replace('-', '_')}", [1 / each.per_s for each in measured], ours)


def _note(figures: Figures, name: str, measured: list[Burned]) -> None:
    rates = [each.per_s for each in measured]
    figures.note(f"{name}_per_s", max(rates), [min(rates), max(rates)])
    print(f"    {measured[0].version}, {measured[0].runs} runs, {dict(measured[0].settings)}")
