"""A backup is taken while everything runs, is whole or is none, and brings a service back as it was."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from backup_kit import names_in, refused_rows, settings_in
from daemon_kit import Daemon

import etlplus
from etlplus.app.backup import MANIFEST, Manifest, back_up
from etlplus.app.restoring import restore
from etlplus.cli.exits import Exit
from etlplus.engines.tenancy import hold
from etlplus.errors import Conflict, EtlplusError, Invalid, Misconfigured, StoreUnavailable, Unauthenticated
from etlplus.jobs.kinds import Command
from etlplus.jobs.model import JobDraft, NewRun
from etlplus.settings import Settings
from etlplus.settings.schema import Store as StoreSettings
from etlplus.store.opening import open_store
from etlplus.store.sqlite import snapshot
from etlplus.store.sqlite.schema import MIGRATIONS
from etlplus.testing.stores import NOW, a_job, some_runs


async def with_a_reject(folder: Path, data_dir: Path) -> str:
    """A service that has loaded one row and refused one; the run."""
    (folder / "people.csv").write_text("name,born\nAda,1815\nNobody,\n")
    plan = {
        "name": "people",
        "sources": {"people": {"type": "csv", "path": "people.csv"}},
        "steps": [
            {
                "id": "valid", "type": "validate", "input": "people",
                "rules": [{"id": "has_birth", "check": "born is not null", "action": "quarantine"}],
            }
        ],
        "sinks": [{"id": "table", "type": "sqlite", "input": "valid", "path": "people.sqlite", "table": "people"}],
    }  # fmt: skip
    async with etlplus.open_service(settings_in(data_dir)) as service, service.events.watch() as news:
        job = await service.jobs.create(JobDraft(name="people", pipeline=plan, base_dir=str(folder)))
        run = await service.runs.start(job.id)
        while not (run := await service.runs.get(run.id)).finished:
            await anext(aiter(news))
    assert run.state == "succeeded"
    return run.id


def contents_of(data_dir: Path) -> dict[str, bytes]:
    """Every file of a data directory but the lock, which says who uses it."""
    files = [file for file in data_dir.rglob("*") if file.is_file() and file.name != "lock"]
    return {str(file.relative_to(data_dir)): file.read_bytes() for file in files}


@pytest.mark.slow
async def test_a_backup_brings_a_service_back_in_another_place(tmp_path: Path) -> None:
    """Jobs, runs, figures and refused rows are there; what came after the backup is not."""
    run = await with_a_reject(tmp_path, tmp_path / "data")
    manifest = back_up(settings_in(tmp_path / "data"), tmp_path / "backup")
    assert (len(manifest.files), manifest.schema_version) == (2, len(MIGRATIONS))
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600
    (tmp_path / "data").rename(tmp_path / "gone")
    assert restore(settings_in(tmp_path / "new"), tmp_path / "backup").aside is None
    async with etlplus.open_service(settings_in(tmp_path / "new")) as service:
        assert (await service.runs.get(run)).figures.rows_loaded == 1
        assert [reject.raw for reject in (await service.runs.rejects(run)).items] == ["Nobody,"]
        assert [job.name for job in (await service.jobs.list()).items] == ["people"]


@pytest.mark.slow
async def test_a_run_that_a_restore_repeats_is_not_loaded_twice(tmp_path: Path) -> None:
    """The backup knows it as queued, the destination as loaded: it succeeds again, and the rows are there once."""
    (tmp_path / "people.csv").write_text("name\nAda\nBlaise\n")
    sink = {
        "id": "t",
        "type": "sqlite",
        "input": "people",
        "path": "people.sqlite",
        "table": "people",
        "mode": "append",
    }
    plan = {"name": "people", "sources": {"people": {"type": "csv", "path": "people.csv"}}, "sinks": [sink]}
    settings = settings_in(tmp_path / "data")
    (tmp_path / "data").mkdir()
    async with open_store(f"sqlite:{tmp_path / 'data' / 'store.sqlite'}") as store:
        (run,) = await some_runs(store, await a_job(store, pipeline=plan, base_dir=str(tmp_path)))
    back_up(settings, tmp_path / "backup")
    for repeated in (False, True):
        if repeated:
            restore(settings, tmp_path / "backup")
        async with etlplus.open_service(settings) as service, service.events.watch() as news:
            while not (await service.runs.get(run.id)).finished:
                await anext(aiter(news))
            assert (await service.runs.get(run.id)).state == "succeeded"
        with closing(sqlite3.connect(tmp_path / "people.sqlite")) as db:
            assert db.execute("SELECT name FROM people ORDER BY name").fetchall() == [("Ada",), ("Blaise",)]


@pytest.mark.slow
async def test_a_backup_of_a_busy_store_is_of_one_moment(tmp_path: Path) -> None:
    """While runs are made without a pause, each backup has whole units only, and its counts are right."""
    url, done = f"sqlite:{tmp_path / 'store.sqlite'}", False
    settings = Settings(data_dir=str(tmp_path), store=StoreSettings(url=url))
    async with open_store(url) as store:
        job = await a_job(store)

        async def make_runs() -> None:
            while not done:
                await store.enqueue([NewRun(job_id=job.id)] * 7, now=NOW)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(make_runs)
            for number in range(5):
                await trio.to_thread.run_sync(back_up, settings, tmp_path / f"backup{number}")
            done = True
    amounts: list[int] = []
    for number in range(5):
        restored = tmp_path / f"restored{number}"
        await trio.to_thread.run_sync(restore, settings_in(restored), tmp_path / f"backup{number}")
        async with open_store(f"sqlite:{restored / 'store.sqlite'}") as store:
            amounts.append((await store.counts()).runs["queued"])
            with closing(sqlite3.connect(restored / "store.sqlite")) as db:
                assert db.execute("SELECT count(*) FROM run_live").fetchone() == (amounts[-1],)
    assert amounts == sorted(amounts)
    assert {amount % 7 for amount in amounts} == {0}
    assert amounts[-1] > 0


@pytest.mark.slow
async def test_the_daemon_runs_on_while_it_is_backed_up_and_is_asked_to_stop_for_a_restore(
    daemons: Callable[..., Daemon], tmp_path: Path
) -> None:
    """The command line does both; after a restore nobody's token counts, and the old store is kept aside."""
    daemon = daemons()
    await daemon.wait_ready()
    here = ("--set", f"data_dir={tmp_path / 'data'}")

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "etlplus", *words, *here]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)

    async with daemon.client() as client:
        token = (await client.identity.sign_in("ada", "correct horse battery")).access_token
        made = command("backup", "backup")
        assert (made.returncode, made.stdout.startswith("backup: a store of schema version")) == (0, True), made
        assert command("backup", "backup").returncode == Exit.CONFLICT
        assert command("backup", "backup", "--force").returncode == 0
        refused = command("restore", "backup")
        assert (refused.returncode, f"in use by process {daemon.process.pid}" in refused.stderr) == (
            Exit.CONFLICT,
            True,
        )
        await client.jobs.create(JobDraft(name="later", command=Command(argv=("true",))))
        await client.identity.sign_out()
    daemon.close()
    told = command("restore", "backup")
    assert (told.returncode, "is kept as" in told.stdout) == (0, True), told
    again = daemons()
    await again.wait_ready()
    async with again.client() as client:
        assert (await client.jobs.list()).items == []
        client.identity._wire.token = token  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Unauthenticated):
            await client.identity.me()


async def test_what_was_there_is_kept_aside_and_can_be_opened(filled: Settings, tmp_path: Path) -> None:
    """Also what had not yet come from the log into the file."""
    back_up(filled, tmp_path / "backup")
    async with open_store(f"sqlite:{filled.data_dir}/store.sqlite") as store:
        await a_job(store, name="later")
    aside = restore(filled, tmp_path / "backup").aside
    assert aside is not None
    async with open_store(f"sqlite:{aside}") as old, open_store(f"sqlite:{filled.data_dir}/store.sqlite") as new:
        assert [job.name for job in await old.jobs()] == ["job", "later"]
        assert [job.name for job in await new.jobs()] == ["job"]
    with hold(Path(filled.data_dir)):
        assert not [name for name in names_in(Path(filled.data_dir)) if name.startswith(".")]


async def test_a_damaged_store_is_replaced_and_kept_with_its_log(filled: Settings, tmp_path: Path) -> None:
    """It may be why somebody restores; its log must not meet the new store."""
    store = Path(filled.data_dir) / "store.sqlite"
    back_up(filled, tmp_path / "backup")
    store.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises((Invalid, StoreUnavailable)):
        back_up(filled, tmp_path / "another")
    assert not (tmp_path / "another").exists()
    store.with_name("store.sqlite-wal").write_bytes(b"its log")
    aside = restore(filled, tmp_path / "backup").aside
    assert aside is not None
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"its log"
    assert not store.with_name("store.sqlite-wal").exists()
    async with open_store(f"sqlite:{store}") as opened:
        assert [job.name for job in await opened.jobs()] == ["job"]


def changed(backup: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of a backup with other contents under the same form."""
    with tarfile.open(backup) as archive:
        contents = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    change(contents)
    copy = backup.with_name("changed")
    with tarfile.open(copy, "w") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return copy


def without_a_store(contents: dict[str, bytes]) -> None:
    """Whole, but of something else."""
    manifest = msgspec.json.decode(contents[MANIFEST])
    del contents["store.sqlite"], manifest["files"]["store.sqlite"]
    contents[MANIFEST] = msgspec.json.encode(manifest)


def with_store(contents: dict[str, bytes], store: bytes) -> None:
    """Another store, and a manifest that agrees with it."""
    contents["store.sqlite"] = store
    manifest = msgspec.json.decode(contents[MANIFEST])
    manifest["files"]["store.sqlite"] = {"size_bytes": len(store), "sha256": hashlib.sha256(store).hexdigest()}
    contents[MANIFEST] = msgspec.json.encode(manifest)


def newer(contents: dict[str, bytes]) -> None:
    """The same store, made by a program of the future."""
    store = contents["store.sqlite"]
    with_store(contents, store[:60] + (99).to_bytes(4, "big") + store[64:])


def damaged_within(contents: dict[str, bytes]) -> None:
    """A store with a page of nothing, as a failing disk leaves it; it can be opened all the same."""
    with_store(contents, contents["store.sqlite"][:-4096] + bytes(4096))


def of_another_program(contents: dict[str, bytes]) -> None:
    """A database, but no store."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE theirs (x)")
        db.commit()
        with_store(contents, db.serialize())


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda contents: contents.pop(MANIFEST), Invalid, "its end is missing"),
        (
            lambda contents: contents.update({"store.sqlite": contents["store.sqlite"][:-4096]}),
            Invalid,
            "is damaged: store",
        ),
        (lambda contents: contents.update({"../evil": b""}), Invalid, "'../evil'"),
        (lambda contents: contents.update({"rejects/..": b""}), Invalid, "'rejects/..'"),
        (lambda contents: contents.update({"rejects/more": b""}), Invalid, "is damaged: rejects/more"),
        (without_a_store, Invalid, "is not whole"),
        (damaged_within, Invalid, "store.sqlite is damaged: "),
        (of_another_program, Invalid, "is no store of etlplus"),
        (newer, Misconfigured, "use the newer program"),
    ],
)
async def test_what_is_no_whole_backup_changes_nothing(
    filled: Settings, tmp_path: Path, change: Any, kind: type[EtlplusError], says: str
) -> None:
    """Cut short, damaged, tampered with or from the future: refused before anything is touched."""
    home = Path(filled.data_dir)
    for file in (home / "token-secret", refused_rows(home)):
        file.write_text("then")
    back_up(filled, tmp_path / "backup")
    for file in (home / "token-secret", refused_rows(home)):
        file.write_text("now")
    before = contents_of(home)
    with pytest.raises(kind, match=says.replace(".", r"\.")):
        restore(filled, changed(tmp_path / "backup", change))
    assert contents_of(home) == before


async def test_what_is_no_archive_is_refused(filled: Settings, tmp_path: Path) -> None:
    """A file of another kind, a file that is not there, a place that cannot be written."""
    (tmp_path / "text").write_text("hello")
    for source in ("text", "missing"):
        with pytest.raises(Invalid, match="no backup that can be read"):
            restore(filled, tmp_path / source)
    with pytest.raises(Invalid, match="cannot be written"):
        back_up(filled, tmp_path / "nowhere" / "backup")
    with pytest.raises(StoreUnavailable):
        back_up(settings_in(tmp_path / "empty"), tmp_path / "backup")
    with pytest.raises(Invalid, match="pg_dump"):
        back_up(Settings(store=StoreSettings(url="postgresql://host/db")), tmp_path / "backup")
    assert names_in(tmp_path) == ["data", "text"]


async def test_a_backup_replaces_no_file_unless_told_to(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that comes while it is written."""
    take = snapshot.take

    def take_slowly(source: Path, target: Path) -> int:
        (tmp_path / "backup").write_text("precious")
        return take(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "take", take_slowly)
        for _ in ("it comes while the backup is written", "it was there before"):
            with pytest.raises(Conflict, match="--force"):
                back_up(filled, tmp_path / "backup")
            assert (tmp_path / "backup").read_text() == "precious"
            assert names_in(tmp_path) == ["backup", "data"]
    assert isinstance(back_up(filled, tmp_path / "backup", replace=True), Manifest)
    assert tarfile.is_tarfile(tmp_path / "backup")
