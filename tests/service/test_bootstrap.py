"""The one-time token of the first admin."""

from __future__ import annotations

from pathlib import Path

from etlplus.service.bootstrap import Bootstrap


def test_a_token_can_be_given_to_any_command_line(tmp_path: Path) -> None:
    """It is made of letters and digits alone: none is ever taken for an option."""
    bootstrap = Bootstrap(tmp_path / "token")
    for _ in range(200):
        assert bootstrap.issue().isalnum()


def test_only_the_operator_can_read_the_token_and_only_until_it_was_used(tmp_path: Path) -> None:
    """The file has mode 0600, holds the token that is accepted, and is gone with it."""
    bootstrap = Bootstrap(tmp_path / "token")
    token = bootstrap.issue()
    assert bootstrap.path.stat().st_mode & 0o777 == 0o600
    assert bootstrap.accepts(bootstrap.path.read_text().strip())
    assert not bootstrap.accepts(token + "x")
    bootstrap.close()
    assert not bootstrap.path.exists()
    assert not bootstrap.accepts(token)
