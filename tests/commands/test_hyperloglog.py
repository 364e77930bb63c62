"""HyperLogLog: effects, watches and pauses, which the comparison with redis-server does not see."""

from __future__ import annotations

import pytest

from tests.commands.in_process import InProcessNode


@pytest.mark.parametrize(
    ("sent", "journaled"),
    [
        ("PFADD new", "PFADD new"),
        ("PFADD a x", ""),
        ("PFADD a y z", "PFADD a y z"),
        ("PFCOUNT a", "PFCOUNT a"),
        ("PFCOUNT a b", ""),
        ("PFCOUNT counted", ""),
        ("PFCOUNT missing", ""),
        ("PFMERGE counted a", "PFMERGE counted a"),
        ("PFDEBUG TODENSE a", "PFDEBUG TODENSE a"),
        ("PFDEBUG GETREG a", "PFDEBUG GETREG a"),
        ("PFDEBUG DECODE a", ""),
        ("PFDEBUG ENCODING a", ""),
    ],
)
def test_whatever_changes_the_bytes_goes_to_replicas(node: InProcessNode, sent: str, journaled: str) -> None:
    node("PFADD", "a", "x")
    node("PFADD", "b", "x")
    node("PFADD", "counted", "x")
    node("PFCOUNT", "counted")
    effects = node.journaled(*sent.split())
    assert [b" ".join(one).decode() for one in effects] == ([journaled] if journaled else [])


def test_a_count_is_cached_in_the_value(node: InProcessNode) -> None:
    node("PFADD", "a", "x", "y")
    assert node("GET", "a")[8:16] == b"\0" * 7 + b"\x80"
    assert node("PFCOUNT", "a") == 2
    assert node("GET", "a")[8:16] == b"\x02" + b"\0" * 7
    node("PFADD", "a", "x")
    assert node("GET", "a")[8:16] == b"\x02" + b"\0" * 7
    node("PFADD", "a", "z")
    assert node("GET", "a")[15] & 0x80
    assert node("PFCOUNT", "a") == 3


def test_a_count_that_changes_the_cache_fails_a_watch(node: InProcessNode) -> None:
    other = node.connect()
    node("PFADD", "a", "x")
    for outcome in (None, [b"OK"]):  # the second time the cache is good
        other("WATCH", "a")
        node("PFCOUNT", "a")
        other("MULTI")
        other("SET", "b", "1")
        assert other("EXEC") == outcome


def test_a_count_waits_while_writes_are_paused(node: InProcessNode) -> None:
    node("PFADD", "a", "x")
    other = node.connect()
    other("CLIENT", "PAUSE", 1000, "WRITE")
    assert node("PFCOUNT", "a") is None
    assert other("GET", "a")[15] == 0x80


def test_the_deadline_stays(node: InProcessNode) -> None:
    node("PFADD", "a", "x")
    node("EXPIRE", "a", 100)
    node("PFADD", "a", "y")
    node("PFMERGE", "a")
    node("PFCOUNT", "a")
    assert node("TTL", "a") == 100


def test_the_self_test_passes(node: InProcessNode) -> None:
    assert node("PFSELFTEST") == b"OK"
