"""What stays when the memory is full, and what is refused: compared with redis-server.

Which keys go is a matter of dice, so shares are compared. How hot a key is was told to both by RESTORE.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.differential.oracle import Oracle
from tests.differential.server_pair import ServerPair

KEYS = 1_000
STEP_BYTES = 4_000
"""How much at a time is asked to go, until half of the keys have gone."""
MARGIN = 0.08
"""Of the share of hot keys that stay; it varies by some 0.015."""

CASES = [
    ("allkeys-lru", 1), ("allkeys-lru", 5), ("volatile-lru", 3), ("allkeys-lfu", 5), ("volatile-lfu", 10),
    ("volatile-ttl", 5), ("allkeys-random", 5), ("volatile-random", 5),
]  # fmt: skip

MADE = [
    "SET a 1", "XADD x 1-1 f v", "XGROUP CREATE x g 0", "RPUSH l 1 2 3", "SADD s a b", "ZADD z 1 a", "HSET h f v g w",
]  # fmt: skip
LINES = """
GET a
SET a 1
MULTI; EXEC
MULTI; GET a; EXEC
MULTI; DEL a; EXEC
MULTI; SET a 1; EXEC
MULTI; PING; EXEC
MULTI; DISCARD
MULTI; GET a; DISCARD
MULTI; RESET; SET a 1
MULTI; WATCH a; EXEC
MULTI; MULTI; EXEC
MULTI; EXEC now; EXEC
MULTI; NONSENSE; EXEC
WATCH a; UNWATCH
LPOP l; RPUSHX l a; LSET l 0 a; LTRIM l 0 1; LREM l 0 a; LINSERT l BEFORE a b
BLPOP l 1; BLMOVE l m LEFT LEFT 1; LMOVE l m LEFT LEFT
EXPIRE a 100; PERSIST a; RENAME a b; COPY b a; MOVE b 1
APPEND a x; SETRANGE a 0 x; INCR n; GETSET a 1; GETEX a EX 10; SETNX a 1; MSET a 1; GETDEL a
HSET h f v; HDEL h f; HINCRBY h n 1; HSETNX h n 1
SADD s a; SREM s a; SMOVE s t b; SINTERSTORE a b c
ZADD z 1 a; ZREM z b; ZPOPMIN z; ZUNIONSTORE a 1 b; ZRANGESTORE a b 0 1
XADD x * f v; XDEL x 1-1; XTRIM x MAXLEN 0; XSETID x 1-1; XGROUP CREATE x h $
XREADGROUP GROUP g c STREAMS x >; XACK x g 1-1; XCLAIM x g c 0 1-1; XAUTOCLAIM x g c 0 0
PFADD p a; PFCOUNT p; PFMERGE p q
SORT l STORE m; SORT l
RESTORE r 0 x
SETBIT a 0 1; BITOP NOT a b; BITFIELD a GET u8 0; BITFIELD a SET u8 0 1
OBJECT ENCODING a; CLIENT SETNAME x; CONFIG GET maxmemory
FLUSHALL
""".strip().splitlines()


def restored(order: list[int], policy: str, payload: bytes) -> list[list[bytes]]:
    """Commands that make the keys, the coldest first in `order`."""
    commands = []
    for rank, number in enumerate(order):
        use = []
        if policy.endswith("lru"):
            use = [b"IDLETIME", b"%d" % (KEYS - rank)]
        elif policy.endswith("lfu"):
            use = [b"FREQ", b"%d" % (rank * 255 // KEYS)]
        ttl = 1_000_000 + rank * 1_000 if policy.startswith("volatile") else 0
        commands.append([b"RESTORE", b"key:%d" % number, b"%d" % ttl, payload, *use])
    return commands


def hot_share(order: list[int], left: Callable[[bytes], bool]) -> float:
    """Of the hotter half of the keys."""
    return sum(left(b"key:%d" % number) for number in order[KEYS // 2 :]) / (KEYS // 2)


def of_redis_server(oracle: Oracle, order: list[int], policy: str) -> float:
    oracle(b"SET", b"key", b"v" * 100)
    payload = oracle(b"DUMP", b"key").value
    assert isinstance(payload, bytes)
    oracle(b"FLUSHALL")
    assert {reply.value for reply in oracle.chunk(*restored(order, policy, payload))} == {b"OK"}
    while int(str(oracle(b"DBSIZE").value, "ascii")) > KEYS // 2:  # type: ignore[call-overload]
        shown = oracle(b"INFO", b"memory").value
        assert isinstance(shown, bytes)
        used = int(shown.partition(b"used_memory:")[2].split()[0])
        oracle(b"CONFIG", b"SET", b"maxmemory", b"%d" % (used - STEP_BYTES))
        oracle(b"CONFIG", b"SET", b"maxmemory", b"0")
    return hot_share(order, lambda key: oracle(b"EXISTS", key).value == b"1")


def of_this_node(order: list[int], policy: str, samples: int) -> float:
    directives = ("maxmemory-policy", policy), ("maxmemory-samples", str(samples)), ("maxmemory", "1gb")
    node = InProcessNode(*directives, seed=random.getrandbits(30))
    server, memory = node.server, node.server.memory
    server.refresh_observed()
    node("SET", "key", b"v" * 100)
    payload = node("DUMP", "key")
    node("DEL", "key")
    for command in restored(order, policy, payload):
        assert node(*command) == b"OK"
    while node("DBSIZE") > KEYS // 2:
        server.config.replace("maxmemory", memory.limited_bytes - STEP_BYTES)
        memory.configure()
        node("PING")
        server.config.replace("maxmemory", 1 << 30)
        memory.configure()
    return hot_share(order, lambda key: bool(node("EXISTS", key)))


@pytest.mark.parametrize(("policy", "samples"), CASES)
def test_as_many_hot_keys_stay(tmp_path: Path, policy: str, samples: int) -> None:
    order = list(range(KEYS))
    random.shuffle(order)
    with Oracle(tmp_path, "--maxmemory-policy", policy, "--maxmemory-samples", str(samples)) as oracle:
        theirs = of_redis_server(oracle, order, policy)
    assert of_this_node(order, policy, samples) == pytest.approx(theirs, abs=MARGIN)


def set_limit(pair: ServerPair, size: bytes) -> None:
    server = pair.node.server
    pair.both([b"CONFIG", b"SET", b"maxmemory", size])
    server.memory.configure()
    server.refresh_observed()
    server.refresh_road()


@pytest.mark.parametrize("policy", [b"noeviction", b"volatile-lru"])
def test_the_same_is_refused_when_the_memory_is_full(alone: ServerPair, policy: bytes) -> None:
    wrong = {}
    alone.both([b"CONFIG", b"SET", b"maxmemory-policy", policy])
    for line in LINES:
        alone.begin(2)
        alone.both([b"FLUSHALL"])
        for made in MADE:
            alone.both(made.encode().split())
        set_limit(alone, b"1")
        for step in line.split("; "):
            ours, theirs = alone.both(step.encode().split())
            if ours != theirs:
                wrong[line, step] = ours, theirs
        set_limit(alone, b"0")
    alone.both([b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"])
    assert wrong == {}
