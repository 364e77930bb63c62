"""A dataset as commands, and back: what the commands make is what there was."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cluster.persistence.aof_commands import ITEMS_PER_COMMAND, write_commands
from cluster.persistence.aof_reader import AofReader
from cluster.persistence.aof_replay import Replay
from tests.commands.whole import WholeNode

FAR_MS = 4_000_000_000_000
DATA = (
    ("SET", "s", "v"), ("SET", b"\xff\0", b"\r\n*1\r\n", "PXAT", FAR_MS), ("SETBIT", "bits", 9, 1),
    ("RPUSH", "list", *range(200)), ("SADD", "ints", *range(130)), ("SADD", "set", "a", "b"),
    ("ZADD", "z", 1, "a", "-2.5", "b", "inf", "c", "-inf", "d", "1e300", "e", "0.1", "f", "-0.0", "g"),
    ("ZADD", "zz", *(part for number in range(90) for part in (number / 7, f"m{number}"))),
    ("HSET", "h", *range(300)), ("HSET", "e", *range(200)), ("HPEXPIREAT", "e", FAR_MS, "FIELDS", 2, 0, 2),
    ("HPEXPIREAT", "e", FAR_MS + 1, "FIELDS", 1, 4), ("PEXPIREAT", "e", FAR_MS),
    ("XADD", "x", "1-1", "f", "v"), ("XADD", "x", "1-2", "f", "v", "g", "w"), ("XADD", "x", "5-0", "f", "v"),
    ("XDEL", "x", "1-2"), ("XGROUP", "CREATE", "x", "g", 0), ("XGROUP", "CREATECONSUMER", "x", "g", "idle"),
    ("XREADGROUP", "GROUP", "g", "alice", "COUNT", 1, "STREAMS", "x", ">"), ("XGROUP", "CREATE", "x", "late", "$"),
    ("XREADGROUP", "GROUP", "g", "bob", "STREAMS", "x", ">"), ("XCLAIM", "x", "g", "bob", 0, "1-1", "RETRYCOUNT", 7),
    ("XADD", "gone", "7-7", "f", "v"), ("XDEL", "gone", "7-7"), ("XGROUP", "CREATE", "bare", "g", "$", "MKSTREAM"),
    ("SELECT", 3), ("SET", "other", "3"),
)  # fmt: skip


def anew(node: WholeNode, directory: Path) -> tuple[WholeNode, list[list[bytes]]]:
    """A node that has run the commands which `node`'s data become, and those."""
    other = WholeNode(directory)
    base = write_commands(node.server.databases, node.server.functions.codes, 1_700_000_000)
    commands = AofReader().feed(b"".join(base))
    Replay(other.server, "base").run(commands)
    return other, commands


def test_every_type_comes_back(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    for command in DATA:
        node.client.raw(*command)
    other, commands = anew(node, tmp_path)
    assert other("DEBUG", "DIGEST") == node("DEBUG", "DIGEST")
    assert max(map(len, commands)) <= 2 + 2 * ITEMS_PER_COMMAND
    node("SELECT", 0)
    assert other("HPEXPIRETIME", "e", "FIELDS", 3, 0, 4, 6) == [FAR_MS, FAR_MS + 1, -1]
    assert other("PEXPIRETIME", "e") == FAR_MS
    for question in (
        ("XINFO", "STREAM", "x"), ("XINFO", "STREAM", "gone"), ("XINFO", "GROUPS", "x"), ("XINFO", "GROUPS", "bare"),
        ("XPENDING", "x", "g", "-", "+", 10),
    ):
        assert other(*question) == node(*question)
    assert {one[1] for one in other("XINFO", "CONSUMERS", "x", "g")} == {b"alice", b"bob", b"idle"}


def test_what_is_loaded_goes_to_no_replica_a_second_time(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    node("SET", "a", 1)
    other, _ = anew(node, tmp_path)
    other.end_batch()
    assert other.effects == []
    assert other("GET", "a") == b"1"


@pytest.mark.parametrize("seed", range(4))
def test_values_that_changed_a_lot_come_back(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    node = WholeNode(tmp_path)
    for _ in range(1500):
        key, item, number = f"k{rng.randrange(6)}", f"i{rng.randrange(90)}", rng.randrange(-99, 99)
        node.client.raw(*rng.choice([
            ("RPUSH", f"l{key}", item), ("LPOP", f"l{key}"), ("LINSERT", f"l{key}", "BEFORE", item, number),
            ("SADD", f"s{key}", item, number), ("SPOP", f"s{key}", 3), ("ZINCRBY", f"z{key}", number / 7, item),
            ("ZPOPMIN", f"z{key}"), ("HSET", f"h{key}", item, number), ("HDEL", f"h{key}", item),
            ("HPEXPIRE", f"h{key}", 10_000_000, "FIELDS", 1, item), ("XADD", f"x{key}", "*", item, number),
            ("XTRIM", f"x{key}", "MAXLEN", "~", 10), ("APPEND", f"a{key}", item), ("PEXPIRE", f"a{key}", 10_000_000),
            ("HPERSIST", f"h{key}", "FIELDS", 1, item),
        ]))  # fmt: skip
        node.advance(1)
    other, _ = anew(node, tmp_path)
    assert other("DEBUG", "DIGEST") == node("DEBUG", "DIGEST")
