"""The page on the life of a run is drawn from the table."""

from pathlib import Path

from etlplus.jobs.lifecycle import Happening, diagram


def test_the_page_shows_the_table_as_it_is() -> None:
    """The diagram in the docs is the diagram of the table, and the page names everything that can happen."""
    page = (Path(__file__).parents[2] / "docs" / "lifecycle.md").read_text()
    assert diagram() in page
    assert all(f"`{happening}`" in page for happening in Happening)
