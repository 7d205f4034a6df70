"""One measurement of one peer, by a fake whose script is executed for real on a real server."""

import asyncio
import json
import os
import select
import sys
from pathlib import Path

import asyncpg
import pytest
import redis

from bench.peers import PEERS, Burned, Peer, PeerFailed, Unavailable, burn, burning
from bench.peers.burning import execute, parse
from bench.peers.places import VALKEY_DATABASE, clean_place
from etlplus.testing.servers import private_postgres, private_valkey

SCRIPT = Path(__file__).with_name("fake_peer.py")
RUNS = 50


@pytest.fixture(scope="module")
def valkey():
    with private_valkey() as address:
        yield {"valkey": address}


def fake(**settings: int) -> Peer:
    """A peer whose package is one that the tests have anyway."""
    return Peer("fake", "redis", "valkey", RUNS, settings=settings)


def report(**changes) -> str:
    good = {"peer": "fake", "version": "1.0", "runs": RUNS, "seconds": 0.5, "settings": {"threads": 8}}
    return json.dumps(good | changes) + "\n"


def test_a_report_becomes_a_rate():
    """What the peer prints before its report is not looked at."""
    burned = parse(fake(), RUNS, "booting\n" + report())
    assert burned == Burned("fake", "1.0", RUNS, 0.5, {"threads": 8})
    assert burned.per_s == 100.0


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("", "printed no report but ''"),
        ("ready\n", "printed no report but 'ready'"),
        ("[1]\n", "printed no report"),
        ('{"peer": "fake"}\n', "printed no report"),
        (report(peer="other"), "reports 50 of other"),
        (report(runs=49), "asked for 50 runs and reports 49"),
        (report(seconds=0), "reports 0 s"),
        (report(seconds=float("nan")), "reports nan s"),
    ],
)
def test_a_report_that_is_none_is_refused(said, complaint):
    """A figure is never made of something else."""
    with pytest.raises(PeerFailed, match=complaint):
        parse(fake(), RUNS, said)


@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_without_its_server_a_peer_is_unavailable(peer):
    """The reason names what is missing, and no environment is made in vain."""
    outcome = burn(peer, RUNS, {})
    assert outcome == Unavailable(peer.name, f"it needs {peer.server}, and no address of one was given")


def test_without_its_python_a_peer_is_unavailable(valkey):
    """A peer may need a newer Python than there is; the bench goes on without it."""
    outcome = burn(Peer("fake", "celery", "valkey", RUNS, python_min=(9, 0)), RUNS, valkey)
    assert outcome == Unavailable("fake", "it needs Python 9.0 or newer, and none is found here")


@pytest.mark.slow
def test_a_script_is_executed_and_its_place_is_clean_again(valkey):
    """The figure comes from the script's own clock; nothing stays in the database it was given."""
    burned = execute(fake(threads=1), Path(sys.executable), SCRIPT, RUNS, valkey)
    assert (burned.peer, burned.version, burned.runs, burned.settings) == (
        "fake",
        redis.__version__,
        RUNS,
        {"threads": 1},
    )
    assert burned.seconds > 0
    with redis.Redis.from_url(f"{valkey['valkey']}?db={VALKEY_DATABASE}") as place:
        assert place.dbsize() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"lose": 3}, "of 50 runs 47 were executed and 47 acknowledged"),
        ({"repeat": 1}, "of 50 runs 51 were executed and 50 acknowledged"),
    ],
)
def test_a_run_that_was_not_done_once_makes_no_figure(valkey, settings, complaint):
    """Being fast by leaving work undone is found out, and so is doing it twice."""
    with pytest.raises(PeerFailed, match=complaint):
        execute(fake(**settings), Path(sys.executable), SCRIPT, RUNS, valkey)


@pytest.mark.slow
def test_a_peer_that_is_stuck_says_how_far_it_came(valkey, monkeypatch):
    """The script itself gives up when its time is over."""
    monkeypatch.setattr(burning, "MEASURE_WITHIN_S", 0.1)
    with pytest.raises(PeerFailed, match=r"not done within 0\.1 s; 50 of 50 runs are executed"):
        execute(fake(stuck=1), Path(sys.executable), SCRIPT, RUNS, valkey)


@pytest.mark.slow
def test_a_script_that_never_ends_is_ended(valkey, monkeypatch):
    """The bench waits no longer than its limit."""
    monkeypatch.setattr(burning, "SCRIPT_WITHIN_S", 0.3)
    with pytest.raises(PeerFailed, match=r"did not end within 0\.3 s"):
        execute(fake(hang=1), Path(sys.executable), SCRIPT, RUNS, valkey)


@pytest.mark.slow
def test_what_a_script_leaves_behind_is_killed(valkey, tmp_path, monkeypatch):
    """A worker that outlived its script would slow down every later measurement."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    os.mkfifo(tmp_path / "alive")
    alive = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    try:
        execute(fake(leave=1), Path(sys.executable), SCRIPT, RUNS, valkey)
        assert select.select([alive], [], [], 60)[0] == [alive]
        assert os.read(alive, 1) == b""
    finally:
        os.close(alive)


@pytest.mark.slow
def test_on_postgresql_a_peer_has_a_database_of_its_own():
    """It is there while the peer runs, and it is dropped even if a connection to it is still open."""

    async def databases(address: str) -> set[str]:
        connection = await asyncpg.connect(address)
        try:
            return {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
        finally:
            await connection.close()

    with private_postgres() as server:
        before = asyncio.run(databases(server))
        with clean_place("postgres", {"postgres": server}) as place:
            during = asyncio.run(databases(place))
        assert len(during - before) == 1
        assert asyncio.run(databases(server)) == before
