"""Streams, where one fixed comparison says more than random ones: the index, and the nodes of long streams."""

from __future__ import annotations

import random

import pytest

from tests.differential.comparison import same
from tests.differential.grammar import Command
from tests.differential.machine import Pair
from tests.differential.resp import Reply


def basics(reply: Reply) -> list[object]:
    """What XINFO STREAM says of the stream itself, the nodes of its radix tree included."""
    assert isinstance(reply.value, tuple)
    return [item.value for item in reply.value[:14]]


def ids(rng: random.Random, kind: str, count: int) -> list[bytes]:
    if kind == "clock":
        start = 1_700_000_000_000
        return [b"%d-%d" % (start + number // 3 * rng.choice([1, 1, 400]), number % 3) for number in range(count)]
    if kind == "sequence":
        return [b"5-%d" % (number * 37) for number in range(count)]
    return [b"%d-%d" % (number >> 20, number) for number in sorted(rng.sample(range(1 << 62), count))]


@pytest.mark.parametrize("kind", ["clock", "sequence", "far apart"])
@pytest.mark.parametrize("count", [0, 1, 4, 50, 700])
def test_nodes_are_those_of_redis_server(pair: Pair, kind: str, count: int) -> None:
    pair.begin(2)
    rng = random.Random(count)
    pair.both([b"XGROUP", b"CREATE", b"s", b"g", b"0", b"MKSTREAM"])
    for entry_id in ids(rng, kind, count):
        pair.both([b"XADD", b"s", entry_id, b"f", b"v"])
    if count > 10:
        pair.both([b"XTRIM", b"s", b"MAXLEN", b"%d" % (count - 7)])
    ours, theirs = pair.both([b"XINFO", b"STREAM", b"s"])
    assert basics(ours) == basics(theirs)


@pytest.mark.parametrize("node_bytes", [b"0", b"100", b"4096"])
@pytest.mark.parametrize("node_entries", [b"0", b"3", b"100", b"1000"])
def test_nodes_are_full_by_the_same_entry(pair: Pair, node_bytes: bytes, node_entries: bytes) -> None:
    pair.begin(2)
    rng = random.Random(7)
    values = [b"", b"1", b"-5", b"4000", b"-70000", b"5000000000", b"123456789012", b"text", b"x" * 63, b"y" * 64,
              b"z" * 200, b"9223372036854775807", b"007"]  # fmt: skip
    fields = [[b"f"], [b"f"], [b"f"], [b"f", b"g"], [b"n" * 70, b"5"]]
    pair.both([b"CONFIG", b"SET", b"stream-node-max-bytes", node_bytes, b"stream-node-max-entries", node_entries])
    wrong: list[tuple[Command, Reply, Reply]] = []
    for number in range(1, 401):
        items = [part for field in rng.choice(fields) for part in (field, rng.choice(values))]
        command = [b"XADD", b"s", b"%d-%d" % (number // 5 * rng.choice([1, 1, 1, 300]) + number, number), *items]
        if rng.random() < 0.1:
            command = [b"XDEL", b"s", b"%d-%d" % (number - 1 + (number - 1) // 5, number - 1)]
        for sent in (command, [b"XINFO", b"STREAM", b"s"]):
            ours, theirs = pair.both(sent)
            agree = basics(ours) == basics(theirs) if sent[0] == b"XINFO" and ours.kind == "*" else ours == theirs
            if not agree:
                wrong.append((command, ours, theirs))
    for command in ([b"XTRIM", b"s", b"MAXLEN", b"~", b"100"], [b"XTRIM", b"s", b"MINID", b"~", b"300"],
                    [b"XTRIM", b"s", b"MAXLEN", b"~", b"0", b"LIMIT", b"20"], [b"XRANGE", b"s", b"-", b"+"]):
        ours, theirs = pair.both(command)
        if not same(command, ours, theirs):
            wrong.append((command, ours, theirs))
    pair.both([b"CONFIG", b"SET", b"stream-node-max-bytes", b"4096", b"stream-node-max-entries", b"3"])
    assert wrong[:1] == []
    pair.check_data()
