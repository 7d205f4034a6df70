"""Places of services to back up and to restore."""

from __future__ import annotations

from pathlib import Path

from etlplus.settings import Engine, Settings


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def settings_in(folder: Path) -> Settings:
    return Settings(data_dir=str(folder), engine=Engine(slots=1))


def refused_rows(data_dir: Path) -> Path:
    """Where an attempt would write what it refuses."""
    (data_dir / "rejects").mkdir(exist_ok=True)
    return data_dir / "rejects" / "run.1.ndjson"
