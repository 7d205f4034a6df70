"""The table of peers, and the scripts and pins that it speaks of."""

import ast
import re
from pathlib import Path

import pytest

from bench.peers import PEERS

FOLDER = Path(__file__).parents[2] / "bench" / "peers"


def test_every_peer_has_its_script_and_its_pins():
    """Nothing in the table is only announced, and no script or pins lie about unused."""
    assert {peer.script for peer in PEERS.values()} == set(FOLDER.glob("*_peer.py"))
    assert {peer.pins for peer in PEERS.values()} == set((FOLDER / "pins").iterdir())


@pytest.mark.parametrize("name", PEERS)
def test_the_pins_hold_names_and_versions_only(name):
    """A pin with an address would send everybody to one registry; a name without a version would measure another peer."""
    peer = PEERS[name]
    lines = peer.pins.read_text("utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", line)] == []
    assert peer.package in {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("name", PEERS)
def test_a_peers_script_knows_nothing_of_etlplus(name):
    """It runs where etlplus is not installed, and must not be able to favor it."""
    for node in ast.walk(ast.parse(PEERS[name].script.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & {"etlplus", "bench"}
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] not in {"etlplus", "bench"}


@pytest.mark.parametrize("name", PEERS)
def test_a_peers_script_says_how_it_is_set(name):
    """Whoever doubts a figure finds the reasons for its settings beside it."""
    said = ast.get_docstring(ast.parse(PEERS[name].script.read_text("utf-8"))) or ""
    assert "default" in said or "recommends" in said
    assert "acknowledged" in said
