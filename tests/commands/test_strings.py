"""Strings: what a user notices beyond what the comparison with redis-server sees: effects, time, limits."""

from __future__ import annotations

import pytest

from cluster.keyspace.hashing import key_slot
from tests.commands.in_process import START_MS, InProcessNode


def test_set_options(node: InProcessNode) -> None:
    assert node("SET", "a", "1", "XX") is None
    assert node("SET", "a", "1", "NX", "GET") is None
    assert node("SET", "a", "2", "NX", "GET") == b"1"
    assert node("SET", "a", "3", "GET", "EX", 10) == b"1"
    assert node("SET", "a", "4", "KEEPTTL") == b"OK"
    assert node("PTTL", "a") == 10_000
    assert node("SET", "a", "5") == b"OK"
    assert node("TTL", "a") == -1
    assert node.error("SET", "a", "5", "NX", "XX") == "ERR syntax error"
    assert node.error("SET", "a", "5", "EX", 0) == "ERR invalid expire time in 'set' command"


@pytest.mark.parametrize(
    ("sent", "journaled"),
    [
        ("SET a 1", "SET a 1"),
        ("SET a 1 NX", ""),
        ("SET new 1 NX", "SET new 1 NX"),
        ("SET a 1 EX 10", f"SET a 1 PXAT {START_MS + 10_000}"),
        ("SET a 1 PX 10 GET", f"SET a 1 PXAT {START_MS + 10}"),
        ("SET a 1 GET KEEPTTL", "SET a 1 KEEPTTL"),
        ("SETEX a 10 1", f"SET a 1 PXAT {START_MS + 10_000}"),
        ("PSETEX a 10 1", f"SET a 1 PXAT {START_MS + 10}"),
        ("GETSET a 1", "SET a 1"),
        ("GETDEL a", "DEL a"),
        ("GETDEL missing", ""),
        ("GETEX a", ""),
        ("GETEX a PERSIST", ""),
        ("GETEX volatile PERSIST", "PERSIST volatile"),
        ("GETEX a EX 5", f"PEXPIREAT a {START_MS + 5000}"),
        ("GETEX a EXAT 1", "DEL a"),
        ("INCR a", "INCR a"),
        ("INCRBYFLOAT a 0.5", "SET a 10.5 KEEPTTL"),
        ("SETNX a 1", ""),
        ("APPEND a x", "APPEND a x"),
        ("SETRANGE missing 0 ", ""),
        ("MSETNX a 1 b 2", ""),
        ("GET a", ""),
    ],
)
def test_effects_name_the_moment_and_the_outcome(node: InProcessNode, sent: str, journaled: str) -> None:
    node("SET", "a", "10")
    node("SET", "volatile", "1", "EX", "100")
    effects = node.journaled(*sent.split(" "))
    assert [b" ".join(one).decode() for one in effects] == ([journaled] if journaled else [])


def test_a_key_is_gone_when_its_time_is_up(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 100)
    node.advance(99)
    assert node("GET", "a") == b"1"
    node.advance(1)
    assert node.journaled("GET", "a") == [[b"DEL", b"a"]]
    assert node("DBSIZE") == 0


def test_counters_keep_the_deadline_and_overflow(node: InProcessNode) -> None:
    node("SET", "n", 2**63 - 2, "EX", 10)
    assert node("INCR", "n") == 2**63 - 1
    assert node.error("INCR", "n") == "ERR increment or decrement would overflow"
    assert node("TTL", "n") == 10


def test_growing_in_place_does_not_touch_copies(node: InProcessNode) -> None:
    node("SET", "a", "x")
    node("APPEND", "a", "y")
    node("COPY", "a", "b")
    node("APPEND", "a", "z")
    assert node("MGET", "a", "b") == [b"xyz", b"xy"]
    assert node("SETRANGE", "missing", 2, "x") == 3
    assert node("GET", "missing") == b"\0\0x"


def test_no_string_outgrows_the_limit() -> None:
    node = InProcessNode(("proto-max-bulk-len", "1mb"))
    too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"
    assert node.error("SETRANGE", "a", 1 << 20, "x") == too_long
    assert node("EXISTS", "a") == 0
    node("SETRANGE", "a", (1 << 20) - 1, "x")
    assert node.error("APPEND", "a", "x") == too_long
    assert node.error("SETBIT", "b", 1 << 23, 1) == "ERR bit offset is not an integer or out of range"


def test_lcs(node: InProcessNode) -> None:
    node("MSET", "a", "ohmytext", "b", "mynewtext")
    assert node("LCS", "a", "b") == b"mytext"
    assert node("LCS", "a", "b", "LEN") == 6
    assert node("LCS", "a", "b", "IDX", "MINMATCHLEN", 4, "WITHMATCHLEN") == [
        b"matches", [[[4, 7], [5, 8], 4]], b"len", 6,
    ]
    assert node.error("LCS", "a", "b", "IDX", "LEN").startswith("ERR If you want both the length and indexes")


def test_lcs_of_long_strings_is_quick_enough(node: InProcessNode) -> None:
    node("MSET", "a", b"ab" * 2000, "b", b"ba" * 2000)
    assert node("LCS", "a", "b", "LEN") == 3999


def test_commands_with_several_keys_leave_the_next_ones_their_slots(cluster_node: InProcessNode) -> None:
    """In one piece, where the slot of one command's keys must not be taken for that of the next's."""
    client = cluster_node.client
    spaces = cluster_node.server.databases[0].spaces
    for command in (["MSET", "{a}x", "1", "{a}y", "2"], ["DEL", "{a}x", "{a}z"], ["MGET", "{a}x", "{a}y"]):
        client.reader.feed(client.chunk(command, ["SET", "b", "3"], ["GET", "b"], ["SETRANGE", "c", "0", "4"]))
        assert [client.reader.gets() for _ in range(4)][1:3] == [b"OK", b"3"]
        for key in (b"b", b"c"):
            assert list(spaces[key_slot(key)]) == [key]
    assert cluster_node("MGET", "{a}x", "{a}y") == [None, b"2"]
    assert list(spaces[key_slot(b"a")]) == [b"{a}y"]
    assert cluster_node.error("MGET", "a", "b").startswith("CROSSSLOT")


@pytest.mark.parametrize("command", [(b"SET", b"large", b"v"), (b"MSET", b"other", b"1", b"large", b"v")])
def test_a_large_value_that_is_overwritten_is_freed_bit_by_bit(node: InProcessNode, command: tuple[bytes, ...]) -> None:
    node("RPUSH", "large", *["x"] * 5000)
    node(*command)
    assert (node("GET", "large"), node.server.lazy_free.is_busy) == (b"v", True)
