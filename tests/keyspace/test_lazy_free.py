"""Large values go in slices: what is looked at here is how much goes in one, and that nothing goes that is in use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.keyspace.lazy_free import AT_ONCE_LIMIT, ELEMENTS_PER_LOOK, LazyFree
from cluster.keyspace.long_list import CHUNK_LIMIT
from cluster.keyspace.stream import StreamValue
from cluster.keyspace.stream_id import make_id
from cluster.keyspace.values import HashValue, ListValue, SetValue, SortedSetValue, Value
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode

COUNT = 20_000


class Clock:
    """Says that the time is over at every look but the first `looks`."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def __call__(self) -> bool:
        self.looks -= 1
        return self.looks < 0


def never() -> bool:
    return False


def elements(count: int = COUNT) -> list[bytes]:
    return [b"element:%d" % number for number in range(count)]


def stream(items: list[bytes]) -> StreamValue:
    value = StreamValue()
    for number, item in enumerate(items, start=1):
        value.append(make_id(number, 0), (b"field", item))
    return value


def references(items: list[bytes]) -> list[int]:
    """How many there are to each."""
    return [sys.getrefcount(item) for item in items]


KINDS: dict[str, Callable[[list[bytes]], Value]] = {
    "list": ListValue,
    "hash": lambda items: HashValue((item, item) for item in items),
    "set": SetValue,
    "sorted set": lambda items: SortedSetValue((item, float(len(item))) for item in items),
    "stream": stream,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_large_value_goes_in_slices(make: Callable[[list[bytes]], Value]) -> None:
    items = elements()
    alone = references(items)[0]
    lazy_free = LazyFree()
    lazy_free.take(make(items), counted=True)
    assert lazy_free.pending_objects == 1

    def kept() -> int:
        return sum(count > alone for count in references(items))

    assert kept() == COUNT
    slices = 0
    before = COUNT
    while lazy_free.work(Clock(0)):
        slices += 1
        assert before - kept() <= CHUNK_LIMIT + ELEMENTS_PER_LOOK
        before = kept()
    assert slices >= COUNT // CHUNK_LIMIT
    assert kept() == 0
    assert (lazy_free.pending_objects, lazy_free.freed_objects) == (0, 1)
    assert not lazy_free.is_busy


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_a_small_value_goes_at_once(make: Callable[[list[bytes]], Value]) -> None:
    items = elements(AT_ONCE_LIMIT)
    alone = references(items)[0]
    lazy_free = LazyFree()
    lazy_free.take(make(items), counted=True)
    assert not lazy_free.is_busy
    assert set(references(items)) == {alone}
    assert (lazy_free.pending_objects, lazy_free.freed_objects) == (0, 1)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_somebody_holds_is_left_alone(make: Callable[[list[bytes]], Value]) -> None:
    value = make(elements())
    lazy_free = LazyFree()
    lazy_free.take(value, counted=True)
    assert not lazy_free.work(never)
    assert len(value) == COUNT
    assert (lazy_free.pending_objects, lazy_free.freed_objects) == (0, 0)


def test_what_groups_of_a_short_stream_hold_goes_in_slices_too() -> None:
    node = InProcessNode()
    node("XGROUP", "CREATE", "s", "group", "0", "MKSTREAM")
    for number in range(1, 2001):
        node("XADD", "s", f"{number}-0", "field", "value")
    node("XREADGROUP", "GROUP", "group", "me", "STREAMS", "s", ">")
    node("XTRIM", "s", "MAXLEN", "0")
    node("UNLINK", "s")
    assert node.server.lazy_free.pending_objects == 1
    assert node.server.lazy_free.work(Clock(0))
    assert not node.server.lazy_free.work(never)


def test_the_tables_of_slots_go_with_the_large_values_in_them() -> None:
    items = elements(3 * AT_ONCE_LIMIT)
    alone = references(items)[0]
    tables: list[dict[bytes, Value]] = [{} for _ in range(10_000)]
    tables[5] = {b"%d" % number: items[0] for number in range(5_000)}
    tables[6] = {b"list": ListValue(items), b"small": ListValue(items[:3])}
    lazy_free = LazyFree()
    lazy_free.take_tables(list(tables), 5_002)
    del tables
    slices = 0
    while lazy_free.work(Clock(0)):
        slices += 1
    assert slices > 25
    assert set(references(items)) == {alone}
    assert (lazy_free.pending_objects, lazy_free.freed_objects) == (0, 5_002)


@pytest.fixture
def node(tmp_path: Path) -> WholeNode:
    node = WholeNode(tmp_path)
    node("RPUSH", "large", *range(1000))
    node("RPUSH", "small", *range(10))
    return node


def lazily(node: WholeNode) -> tuple[int, int]:
    """(pending, freed) as INFO shows them."""
    lines = dict(line.split(":") for line in node("INFO", "memory").decode().split("\r\n") if ":" in line)
    return int(lines["lazyfree_pending_objects"]), int(lines["lazyfreed_objects"])


@pytest.mark.parametrize(
    ("directive", "commands", "counted"),
    [
        ("", ["UNLINK large small"], 1),
        ("", ["DEL large small"], 0),
        ("lazyfree-lazy-user-del", ["DEL large small"], 1),
        ("", ["SET large x"], 0),
        ("lazyfree-lazy-server-del", ["SET large x", "COPY small new"], 1),
        ("lazyfree-lazy-server-del", ["RENAME small large"], 1),
        ("lazyfree-lazy-server-del", ["RENAME large new"], 0),
        ("", ["PEXPIREAT large 1"], 0),
        ("lazyfree-lazy-expire", ["PEXPIREAT large 1"], 1),
        ("", ["FLUSHALL"], 0),
        ("", ["FLUSHALL SYNC"], 0),
        ("", ["FLUSHDB ASYNC"], 2),
        ("lazyfree-lazy-user-flush", ["FLUSHALL"], 2),
        ("lazyfree-lazy-user-flush", ["FLUSHALL SYNC"], 0),
    ],
)
def test_info_counts_what_redis_frees_in_the_background(
    node: WholeNode, directive: str, commands: list[str], counted: int
) -> None:
    if directive:
        node("CONFIG", "SET", directive, "yes")
    for command in commands:
        node(*command.split(" "))
    assert lazily(node) == (counted, 0)
    assert node.server.lazy_free.is_busy
    assert not node.server.lazy_free.work(never)
    assert lazily(node) == (0, counted)
    node("CONFIG", "RESETSTAT")
    assert lazily(node) == (0, 0)


def test_an_expired_key_goes_the_same_way(node: WholeNode) -> None:
    node("CONFIG", "SET", "lazyfree-lazy-expire", "yes")
    node("PEXPIRE", "large", 10)
    node.advance(11)
    assert node("GET", "large") is None
    assert lazily(node) == (1, 0)


def test_values_that_get_another_name_stay_whole(node: WholeNode) -> None:
    node("RENAME", "large", "renamed")
    node("MOVE", "renamed", 1)
    node("SELECT", 1)
    node("SWAPDB", 0, 1)
    node("SELECT", 0)
    node("SORT", "renamed", "STORE", "renamed")
    node("LTRIM", "renamed", 0, 599)
    assert not node.server.lazy_free.work(never)
    assert node("LRANGE", "renamed", 0, -1) == [b"%d" % number for number in range(600)]
