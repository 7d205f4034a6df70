"""The drawing of the tree of actors is the tree that is started."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from etlplus.actors.newsroom import Newsroom
from etlplus.app.staff import new_standing, staff
from etlplus.runtime import Child, Supervisor, rest_for_one
from etlplus.service.contract import Contract
from etlplus.settings import Settings
from etlplus.store.bells import EVERYBODYS, WORK_OF

PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
LINE = re.compile(r"^(?P<bars>(?:[│ ] {2})*)[├└]─ (?P<name>\w+) +(?P<said>.*)$", re.MULTILINE)
TOLD_IN_WORDS = {"carriers", "duties"}
"""Supervisors whose children stand on their own line, in words."""


def real_tree() -> Supervisor:
    standing = new_standing(1)
    nothing: Any = None
    return staff(nothing, nothing, standing, Newsroom(standing.now), Settings())


def name_of(each: Child[Any] | Supervisor) -> str:
    return each.name if isinstance(each, Supervisor) else each.name.value


def walked(supervisor: Supervisor, depth: int = 0) -> Iterator[tuple[int, Child[Any] | Supervisor]]:
    for each in supervisor.children:
        yield depth, each
        if isinstance(each, Supervisor) and each.name not in TOLD_IN_WORDS:
            yield from walked(each, depth + 1)


def drawn() -> list[tuple[int, str, str]]:
    """Depth, name and words of each line of the drawing."""
    block = PAGE[PAGE.index("\nsystem\n") :].partition("```")[0]
    return [(len(found["bars"]) // 3, found["name"], found["said"]) for found in LINE.finditer(block)]


def test_the_drawing_shows_every_actor_in_start_order() -> None:
    """Nobody is missing, nobody is drawn who is not there, and each stands where he is started."""
    assert [line[:2] for line in drawn()] == [(depth, name_of(each)) for depth, each in walked(real_tree())]


def test_children_that_are_told_in_words_are_all_told_in_order() -> None:
    """Runners and the crew; scheduler, retention and rescue."""
    words = {name: said for _, name, said in drawn()}
    told = 0
    for _, each in walked(real_tree()):
        if isinstance(each, Supervisor) and each.name in TOLD_IN_WORDS:
            children = [name_of(child).partition("-")[0] for child in each.children]
            places = [re.search(rf"\b{child}\b", words[each.name]) for child in children]
            assert None not in places, (each.name, children)
            assert [found.start() for found in places if found] == sorted(found.start() for found in places if found)
            told += len(children)
    assert told == 5


def test_the_rule_of_restart_is_the_one_that_is_drawn() -> None:
    """One for one, unless the line says otherwise."""
    words = {name: said for _, name, said in drawn()}
    for _, each in walked(real_tree()):
        if isinstance(each, Supervisor):
            assert (each.strategy is rest_for_one) == ("rest for one" in words[each.name])


def test_the_facets_are_those_of_the_contract() -> None:
    """In the drawing stand all that people and programs may use; receipts are for the front door alone."""
    facets = {name for name, each in vars(Contract).items() if isinstance(each, property)}
    (shown,) = re.findall(r"service, by facets: (.+)", PAGE)
    assert set(shown.split(" · ")) == facets - {"receipts"}


def test_every_bell_is_explained() -> None:
    """What nodes ring for each other, by name; a word beside *work* says of which kind the runs are."""
    text = PAGE[PAGE.index("\n## Several nodes\n") :]
    told = {name.lower() for name in re.findall(r"\*([A-Z]\w+)\*: ", text)}
    assert told == {bell.value for bell in EVERYBODYS if WORK_OF.get(bell) is None}
