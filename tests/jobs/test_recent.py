"""A memory of bounded size."""

from __future__ import annotations

from etlplus.jobs.recent import Recent


def test_what_was_not_used_for_longest_is_forgotten() -> None:
    """Reading counts as use, and so does writing again."""
    recent = Recent[int](3)
    for number, key in enumerate("abc"):
        assert recent.put(key, number) == number
    assert recent.get("a") == 0
    recent.put("b", 7)
    recent.put("d", 3)
    assert [recent.get(key) for key in "abcd"] == [0, 7, None, 3]
