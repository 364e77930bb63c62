"""What the server says of itself for people: LOLWUT, MODULE, MEMORY DOCTOR and STATS."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cluster.commands import memory_advice
from cluster.commands.lolwut import squares
from tests.commands.whole import WholeNode


@pytest.fixture
def node(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path, ("enable-module-command", "yes"))


def test_lolwut_shows_the_version(node: WholeNode) -> None:
    for line in ("LOLWUT", "LOLWUT VERSION", "LOLWUT VERSION 99 x", "LOLWUT nonsense"):
        assert node(*line.split()) == b"Redis ver. 7.2.4\n"
    assert node.error("LOLWUT", "VERSION", "x") == "ERR value is not an integer or out of range"
    assert node.error("LOLWUT", "VERSION", "5", "x") == "ERR value is not an integer or out of range"


def test_lolwut_draws(node: WholeNode) -> None:
    *drawing, empty, credit, version, end = node("LOLWUT", "VERSION", "5", "20", "4", "3").decode().replace(
        ". Redis", ".\nRedis").split("\n")  # fmt: skip
    assert (empty, version, end) == ("", "Redis ver. 7.2.4", "")
    assert "Nees" in credit
    assert {len(line) for line in drawing} == {20}
    assert len(node("LOLWUT", "VERSION", "5").decode().split("\n")[0]) == 66


def test_order_comes_first() -> None:
    one, other = (squares(20, 4, 6, random.Random(seed)).splitlines() for seed in (1, 2))
    assert one[0] == other[0]
    assert one[-1] != other[-1]


def test_there_are_no_modules(node: WholeNode, tmp_path: Path) -> None:
    assert node("MODULE", "LIST") == []
    assert node.error("MODULE", "LOAD", "/x.so").startswith("ERR Error loading the extension")
    assert node.error("MODULE", "LOADEX", "/x.so", "ARGS", "a").startswith("ERR Error loading the extension")
    assert node.error("MODULE", "UNLOAD", "x").startswith("ERR Error unloading module")
    guarded = WholeNode(tmp_path)
    assert guarded.error("MODULE", "LOAD", "/x.so").startswith("ERR MODULE command not allowed.")
    assert guarded("MODULE", "LIST") == []
    assert node("MODULE", "HELP")


def test_the_doctor_of_memory_finds_what_is_unusual(node: WholeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    assert b"little data" in node("MEMORY", "DOCTOR")
    holding = node.connect()
    holding("MULTI")
    holding("SET", "a", "x" * (2 * memory_advice.CLIENT_BYTES))
    assert node("MEMORY", "DOCTOR").startswith(b"Clients: ")
    holding("DISCARD")
    monkeypatch.setattr(memory_advice, "MANY_SCRIPTS", 1)
    node("SCRIPT", "LOAD", "return 1")
    node("SCRIPT", "LOAD", "return 2")
    assert node("MEMORY", "DOCTOR").startswith(b"Scripts: 2 are kept.")
    memory = node.server.memory
    node("SET", "a", "x" * (2 * memory_advice.SMALL_BYTES))
    memory.resident_bytes = lambda: 100 * memory_advice.SMALL_BYTES
    monkeypatch.setattr(type(memory), "used", 20 * memory_advice.SMALL_BYTES)
    monkeypatch.setattr(type(memory), "dataset_bytes", 10 * memory_advice.SMALL_BYTES)
    memory.peak_bytes = 40 * memory_advice.SMALL_BYTES
    found = [line.partition(b":")[0] for line in node("MEMORY", "DOCTOR").splitlines()]
    assert found == [b"Peak", b"Resident memory", b"Scripts"]


def test_memory_stats_go_by_database(node: WholeNode) -> None:
    node("SELECT", 3)
    node("SET", "a", "1", "EX", "100")
    node("SET", "b", "1")
    flat = node("MEMORY", "STATS")
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    assert [name for name in fields if name.startswith(b"db.")] == [b"db.3"]
    tables = dict(zip(fields[b"db.3"][::2], fields[b"db.3"][1::2], strict=True))
    assert tables[b"overhead.hashtable.main"] > tables[b"overhead.hashtable.expires"] > 0
    assert {b"cluster.links", b"lua.caches", b"functions.caches", b"fragmentation.bytes"} <= set(fields)
