"""OBJECT ENCODING: of values that grow and shrink, by thresholds that stay and that change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import strategies as st

from tests.differential.comparison import same
from tests.differential.grammar_encodings import COLLECTION_ENCODINGS, LIMITS, STRING_ENCODINGS
from tests.differential.machine import DIRECTIVES, EXAMPLES, Pair, run
from tests.newer_server import newer_server


@pytest.fixture(scope="module")
def own_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Whose thresholds may change."""
    pair = Pair(tmp_path_factory.mktemp("encodings"), *DIRECTIVES, program=newer_server())
    yield pair
    pair.close()


def test_collections_are_converted_when_redis_server_converts_them(own_pair: Pair) -> None:
    run(own_pair, COLLECTION_ENCODINGS, 2, examples=2 * EXAMPLES, first=LIMITS, queued=st.nothing())


def test_strings_are_kept_as_in_redis_server(pair: Pair) -> None:
    """In 7.0, where what may be kept beside its key is as long as in 7.2."""
    run(pair, STRING_ENCODINGS, 2, queued=st.nothing())


def test_sorting_makes_a_skiplist_of_a_sorted_set(own_pair: Pair) -> None:
    own_pair.begin(2)
    for line in ("ZADD z 1 1 2 2", "ZADD y 1 1", "SORT z BY nosort", "SORT_RO y", "ZADD y 2 2"):
        own_pair.both(line.encode().split())
    for key in (b"z", b"y"):
        ours, theirs = own_pair.both([b"OBJECT", b"ENCODING", key])
        assert ours == theirs
        assert ours.value == b"skiplist"


LINES = """
CONFIG SET hash-max-listpack-entries 3; HSET h a 1 b 2; CONFIG SET hash-max-listpack-entries 1; HDEL h a; HSET h c 1
CONFIG SET hash-max-listpack-entries 1; HSET h a 1 b 2; CONFIG SET hash-max-listpack-entries 9; HSET h c 1; DEL h
CONFIG SET hash-max-listpack-entries 1; HSET h a 1 b 2; HDEL h a; COPY h g; RENAME g h
CONFIG SET hash-max-listpack-entries 2; HSET h a 1 a 2 a 3; DEL h; HSET h a 1; HSET h a 1 a 2 a 3
CONFIG SET hash-max-listpack-value 3; HSET h a abc; CONFIG SET hash-max-listpack-value 2; HSET h b 1; HSET h b 123
CONFIG SET set-max-intset-entries 2; SADD h 1 2; CONFIG SET set-max-intset-entries 1; SREM h 1; SADD h 3; SADD h 4
CONFIG SET set-max-intset-entries 2; SADD h 1 2 3; SREM h 1 2; COPY h g; RENAME g h
CONFIG SET set-max-listpack-entries 2; SADD h a b; CONFIG SET set-max-listpack-entries 9; SADD h c; SADD h d e f
CONFIG SET set-max-listpack-entries 2; SADD h a a a; DEL h; SADD h a; SADD h a a b; SREM h a
CONFIG SET set-max-listpack-value 3; SADD h abc; CONFIG SET set-max-listpack-value 2; SADD h ab; SADD h abd
CONFIG SET zset-max-listpack-entries 2; ZADD h 1 a 2 b; CONFIG SET zset-max-listpack-entries 1; ZADD h 3 a; ZADD h 3 c
CONFIG SET zset-max-listpack-entries 2; ZADD h 1 a 2 a 3 a; DEL h; ZADD h 1 a; ZADD h XX 1 a 2 b 3 c; ZREM h a b
CONFIG SET zset-max-listpack-entries 2; ZADD h XX 1 a 2 b 3 c; ZADD h 1 a; CONFIG SET zset-max-listpack-entries 0
""".strip().splitlines()
DEFAULTS = [
    ("hash-max-listpack-entries", "128"), ("hash-max-listpack-value", "64"), ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"), ("set-max-listpack-value", "64"), ("zset-max-listpack-entries", "128"),
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_thresholds_matter_when_a_value_grows(own_pair: Pair, line: str) -> None:
    own_pair.begin(2)
    for name, number in DEFAULTS:
        own_pair.both([b"CONFIG", b"SET", name.encode(), number.encode()])
    for step in line.split("; "):
        command = step.encode().split()
        assert same(command, *own_pair.both(command))
        ours, theirs = own_pair.both([b"OBJECT", b"ENCODING", b"h"])
        assert ours == theirs, step
