"""What a crash amid a backup or a restore, or right after it, leaves on the disk."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from backup_kit import refused_rows

from etlplus.app import restoring
from etlplus.app.backup import back_up
from etlplus.app.restoring import restore
from etlplus.settings import Settings
from etlplus.store.opening import open_store
from etlplus.store.sqlite import snapshot
from etlplus.testing.stores import a_job


class Died(BaseException):
    """The process dies here."""


async def test_a_restore_that_dies_amid_it_leaves_a_store_and_no_key(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right before the new store takes its place the old one is still there, and no token counts; a second try restores."""
    home = Path(filled.data_dir)
    back_up(filled, tmp_path / "backup")
    (home / "token-secret").write_text("secret")
    async with open_store(f"sqlite:{home / 'store.sqlite'}") as store:
        await a_job(store, name="later")

    def die(file: Path, target: Path) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_move", die)
        with pytest.raises(Died):
            restore(filled, tmp_path / "backup")
    assert not (home / "token-secret").exists()
    async with open_store(f"sqlite:{home / 'store.sqlite'}") as store:
        assert [job.name for job in await store.jobs()] == ["job", "later"]
    restore(filled, tmp_path / "backup")
    async with open_store(f"sqlite:{home / 'store.sqlite'}") as store:
        assert [job.name for job in await store.jobs()] == ["job"]


async def test_a_restore_to_another_disk_goes_by_way_of_a_copy(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Any
) -> None:
    """Where no rename leads, the copy is on the disk before it takes the place of the store."""
    back_up(filled, tmp_path / "backup")
    replace = Path.replace

    def refuse(file: Path, target: Path) -> Path:
        if file.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(file, target)

    monkeypatch.setattr(Path, "replace", refuse)
    restore(filled, tmp_path / "backup")
    assert disk.lasting() == ["backup", "store.sqlite"]
    async with open_store(f"sqlite:{filled.data_dir}/store.sqlite") as store:
        assert [job.name for job in await store.jobs()] == ["job"]


async def test_a_backup_and_a_restore_are_on_the_disk_when_they_are_done(
    filled: Settings, tmp_path: Path, disk: Any
) -> None:
    """A crash of the machine right afterwards takes neither back, nor a part of it."""
    refused_rows(Path(filled.data_dir)).write_text("a row")
    back_up(filled, tmp_path / "backup")
    assert disk.lasting() == ["backup"]
    restore(filled, tmp_path / "backup")
    assert disk.lasting() == ["backup", "run.1.ndjson", "store.sqlite"]


async def test_a_run_that_ends_while_it_is_backed_up_has_its_refused_rows_there(
    filled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of the store may know it, since a load writes them before it commits; those that are half written stay out."""
    take = snapshot.take

    def take_late(source: Path, target: Path) -> int:
        refused_rows(Path(filled.data_dir)).write_text("a row")
        refused_rows(Path(filled.data_dir)).with_name(".run.2.ndjson.tmp").write_text("half a")
        return take(source, target)

    monkeypatch.setattr(snapshot, "take", take_late)
    assert set(back_up(filled, tmp_path / "backup").files) == {"store.sqlite", "rejects/run.1.ndjson"}
