"""
Peers: how fast other Python queues burn no-op runs, on the same machine and on the same servers.

Each peer has a virtual environment of its own below ``var/peers``, made on demand from the pins in ``pins/``, and a script
``NAME_peer.py`` which that environment's Python executes. The script knows nothing of etlplus. It enqueues all runs in the
way the peer offers for many, starts the worker that the peer's users start, and reports the seconds from the first
execution (or from the claim before it, where the peer records one) until the peer's own tables or broker show that the last
run is acknowledged. Starting up is therefore not counted, nor is enqueueing, and a run that was lost or done twice makes the
measurement fail.

What is fair. Every peer runs as its own documentation says a worker is run: its defaults, its own event loop, and what it
recommends after installation. Each script says how and why. Where a number that its documentation speaks of makes no-op runs
much faster, the roster has a second entry, marked ``tuned``. Workers that are processes by nature (Celery, Dramatiq) use
every core. PostgreSQL is told to analyze the tables after the runs are enqueued: its own daemon would have done so within a
minute.
"""

from bench.peers.burning import Burned, PeerFailed, Unavailable, burn
from bench.peers.roster import PEERS, Peer

__all__ = ["PEERS", "Burned", "Peer", "PeerFailed", "Unavailable", "burn"]
