"""Every key and element of a TOML document is placed where it stands."""

import tomllib
from collections.abc import Iterator

import pytest

from etlplus.settings.places import positions

DOCUMENT = """\
# a comment with = and [brackets]
name = "p" # another
title = \"\"\"a
[x]
b = 1\"\"\"
lit = '''x = 1
[[steps]]'''
[sources.flights]
nulls = ["", "NA", 'a # ] b',
  "x", # comment ]
]
path = {param = "x", other = [1, {y = 2}]}
[[steps]]
id = "one"
a.b . "c d" = 5
[[steps.rules]]
id = "r1"
[[steps.rules]]
id = "r2"
[[steps]]
id = "two"
[steps.columns]
escaped = "a \\" b ]"
at = 1979-05-27 07:32:00
"""


def paths(value: object, here: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key and element of a parsed document."""
    if isinstance(value, dict):
        inner = [(str(key), below) for key, below in value.items()]
    else:
        inner = [(str(at), below) for at, below in enumerate(value)] if isinstance(value, list) else []
    for name, below in inner:
        yield (*here, name)
        yield from paths(below, (*here, name))


def test_exactly_what_the_parser_finds_is_placed():
    """No key is missed, and none is seen inside of texts and comments."""
    assert set(positions(DOCUMENT)) == set(paths(tomllib.loads(DOCUMENT)))


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("name", (2, 1)),
        ("sources", (8, 2)),
        ("sources/flights/nulls/2", (9, 20)),
        ("sources/flights/nulls/3", (10, 3)),
        ("sources/flights/path/other/1/y", (12, 35)),
        ("steps/0/a/b/c d", (15, 1)),
        ("steps/0/rules/1/id", (19, 1)),
        ("steps/1", (20, 3)),
        ("steps/1/columns/at", (24, 1)),
    ],
)
def test_each_is_placed_where_it_stands(path, place):
    """Line and column count from 1; tables of one name are told apart by number."""
    assert positions(DOCUMENT)[tuple(path.split("/"))] == place


@pytest.mark.parametrize("text", ["", "\n# only a comment", "a=1", "[t]", "a = []", "a = {}\r\nb = [[], [{}]]\r\n"])
def test_small_documents_are_read_to_their_end(text):
    """Nothing, or next to nothing, is a document too."""
    assert set(positions(text)) == set(paths(tomllib.loads(text)))
