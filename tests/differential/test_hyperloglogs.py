"""HyperLogLogs of many elements: the value is redis-server's to the byte, whenever it is looked at."""

from __future__ import annotations

import random

import pytest

from tests.differential.machine import Pair

SOURCES = [b"a", b"b", b"c"]
TARGETS = [b"d", b"e"]


@pytest.mark.parametrize("max_sparse_bytes", [0, 40, 3000, 15000])
def test_the_bytes_are_those_of_redis_server(pair: Pair, max_sparse_bytes: int) -> None:
    pair.begin(2)
    dice = random.Random(max_sparse_bytes)
    pair.both([b"CONFIG", b"SET", b"hll-sparse-max-bytes", b"%d" % max_sparse_bytes])
    for step in range(1500):
        key = dice.choice(SOURCES)
        elements = [b"%d" % dice.getrandbits(40) for _ in range(dice.choice([1, 1, 1, 5]))]
        alike(pair, b"PFADD", key, *elements)
        alike(pair, b"GET", key)
        if step % 20 == 0:
            alike(pair, b"PFCOUNT", key)
            alike(pair, b"GET", key)
            alike(pair, b"PFCOUNT", *SOURCES, b"missing")
        if step % 50 == 0:
            target = dice.choice(TARGETS)
            alike(pair, b"PFMERGE", target, *dice.sample(SOURCES, dice.randrange(3)))
            alike(pair, b"GET", target)
    pair.both([b"CONFIG", b"SET", b"hll-sparse-max-bytes", b"3000"])
    pair.check_data()


def alike(pair: Pair, *command: bytes) -> None:
    ours, theirs = pair.both(list(command))
    assert ours == theirs, f"{command!r:.80}: ours {ours!r:.200}, redis-server's {theirs!r:.200}"


def test_any_registers_are_counted_alike(pair: Pair) -> None:
    """Dense values as no element would make them: all registers low, all high, any."""
    pair.begin(2)
    dice = random.Random(1)
    for highest in (1, 2, 5, 20, 51, 52, 63):
        packed = sum(dice.randint(0, highest) << 6 * index for index in range(16384)).to_bytes(12288, "little")
        for registers in (packed, (sum(highest << 6 * index for index in range(4))).to_bytes(3, "little") * 4096):
            pair.both([b"SET", b"a", b"HYLL\0\0\0\0" + b"\0" * 7 + b"\x80" + registers])
            for command in ("PFCOUNT a b", "PFCOUNT a", "PFDEBUG GETREG a", "GET a"):
                alike(pair, *command.encode().split())
