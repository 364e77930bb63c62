"""Keys of any type: names, copies, databases, encodings, sorting."""

from __future__ import annotations

import pytest

from tests.commands.in_process import InProcessNode


def test_rename_takes_the_deadline_along(node: InProcessNode) -> None:
    node("SET", "a", "1", "EX", 10)
    node("SET", "b", "2", "EX", 99)
    assert node("RENAME", "a", "b") == b"OK"
    assert node("TTL", "b") == 10
    assert node("EXISTS", "a", "b", "b") == 2
    assert node.error("RENAME", "a", "b") == "ERR no such key"
    assert node("RENAMENX", "b", "b") == 0


def test_an_expired_key_is_not_counted_as_deleted(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 1)
    node.advance(5)
    assert node("DEL", "a") == 0
    assert node("SET", "a", "1") == b"OK"
    assert node("UNLINK", "a", "a") == 1


def test_copy_and_move_between_databases(node: InProcessNode) -> None:
    node("SET", "a", "1", "EX", 10)
    assert node("COPY", "a", "a", "DB", 1) == 1
    assert node("COPY", "a", "a", "DB", 1) == 0
    assert node("COPY", "a", "a", "DB", 1, "REPLACE") == 1
    assert node("MOVE", "a", 1) == 0
    node("SELECT", 1)
    assert node("TTL", "a") == 10
    assert node("MOVE", "a", 2) == 1
    assert node("DBSIZE") == 0
    assert node.error("MOVE", "a", 1) == "ERR source and destination objects are the same"
    assert node.error("MOVE", "a", 99) == "ERR DB index is out of range"


def test_swapdb_leaves_clients_where_they_are(node: InProcessNode) -> None:
    node("SET", "a", "1")
    other = node.connect()
    other("SELECT", 1)
    assert node("SWAPDB", 0, 1) == b"OK"
    assert node("EXISTS", "a") == 0
    assert other("GET", "a") == b"1"
    assert node("SWAPDB", 1, 1) == b"OK"
    assert node.error("SWAPDB", "x", 1) == "ERR invalid first DB index"


def test_swapdb_makes_watching_transactions_fail(node: InProcessNode) -> None:
    node("SET", "a", "1")
    node("WATCH", "a")
    node.connect()("SWAPDB", 0, 1)
    node("MULTI")
    node("PING")
    assert node("EXEC") is None


def test_flush_is_told_even_when_there_is_nothing(node: InProcessNode) -> None:
    assert node.journaled("FLUSHALL") == [[b"FLUSHALL"]]
    node("SET", "a", "1")
    assert node.journaled("FLUSHDB", "ASYNC") == [[b"FLUSHDB", b"ASYNC"]]
    assert node("DBSIZE") == 0
    assert node.error("FLUSHALL", "NOW") == "ERR syntax error"


@pytest.mark.parametrize(
    ("command", "encoding"),
    [
        ("SET k 123", b"int"), ("SET k 0123", b"embstr"), (f"SET k {'x' * 44}", b"embstr"),
        (f"SET k {'x' * 45}", b"raw"), ("APPEND k 12", b"int"), ("SETRANGE k 0 12", b"raw"),
    ],
)
def test_encodings_of_strings(node: InProcessNode, command: str, encoding: bytes) -> None:
    node(*command.split())
    assert node("OBJECT", "ENCODING", "k") == encoding


def test_object(node: InProcessNode) -> None:
    node("MSET", "small", 7, "large", 70_000)
    assert node("OBJECT", "REFCOUNT", "small") == 2**31 - 1
    assert node("OBJECT", "REFCOUNT", "large") == 1
    assert node("OBJECT", "ENCODING", "missing") is None
    assert node.error("OBJECT", "FREQ", "small").startswith("ERR An LFU maxmemory policy is not selected")
    assert node.error("OBJECT", "NONSENSE", "small") == "ERR unknown subcommand 'NONSENSE'. Try OBJECT HELP."


def test_random_key(node: InProcessNode) -> None:
    assert node("RANDOMKEY") is None
    for number in range(5):
        node("SET", number, "x")
    assert {node("RANDOMKEY") for _ in range(200)} == {b"0", b"1", b"2", b"3", b"4"}


def test_sort(node: InProcessNode) -> None:
    node("RPUSH", "list", 3, 1, 2)
    node("MSET", "w1", 30, "w2", 20, "w3", 10, "n1", "one", "n3", "three")
    assert node("SORT", "list", "DESC") == [b"3", b"2", b"1"]
    assert node("SORT", "list", "BY", "w*", "GET", "#", "GET", "n*") == [b"3", b"three", b"2", None, b"1", b"one"]
    assert node("SORT", "list", "LIMIT", 1, 1, "STORE", "stored") == 1
    assert node("LRANGE", "stored", 0, -1) == [b"2"]
    assert node("SORT", "missing", "STORE", "stored") == 0
    assert node("EXISTS", "stored") == 0
    node("RPUSH", "list", "x")
    assert node.error("SORT", "list") == "ERR One or more scores can't be converted into double"


def test_in_cluster_mode_there_is_one_database(cluster_node: InProcessNode) -> None:
    cluster_node("SET", "{t}a", "1")
    assert cluster_node("COPY", "{t}a", "{t}b") == 1
    assert cluster_node.error("COPY", "{t}a", "{t}b", "DB", 1) == (
        "ERR Copying to another database is not allowed in cluster mode"
    )
    assert cluster_node.error("MOVE", "{t}a", 1) == "ERR MOVE is not allowed in cluster mode"
    assert cluster_node.error("SWAPDB", 0, 1) == "ERR SWAPDB is not allowed in cluster mode"
    assert cluster_node.error("SORT", "{t}l", "BY", "w*") == (
        "ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
    )
    assert cluster_node.error("SORT", "{t}l", "GET", "w*").startswith("ERR GET option of SORT denied in Cluster mode")
    assert cluster_node("SORT", "{t}l", "BY", "nosort") == []
    assert cluster_node.error("RENAME", "a", "b") == "CROSSSLOT Keys in request don't hash to the same slot"
    assert cluster_node.error("SORT", "a", "STORE", "b") == "CROSSSLOT Keys in request don't hash to the same slot"
    assert cluster_node("MSET", "{t}a", 1, "{t}b", 2) == b"OK"


def test_sort_tells_equal_numbers_apart_by_their_texts(node: InProcessNode) -> None:
    node("RPUSH", "list", "1.0", "-3", "+1", "1", "2", ".5", "01", "-0", "0")
    ascending = [b"-3", b"-0", b"0", b".5", b"+1", b"01", b"1", b"1.0", b"2"]
    assert node("SORT", "list") == ascending
    assert node("SORT", "list", "DESC") == ascending[::-1]
    node("RPUSH", "list", "0x10", " 7", "1e1", "")
    assert node("SORT", "list") == [b"-3", b"", *ascending[1:], b" 7", b"1e1", b"0x10"]


@pytest.mark.parametrize("text", ["1_0", "nan", "--1", "1-2", ".", "1" * 400, "1e400"])
def test_sort_takes_no_number_that_redis_does_not(node: InProcessNode, text: str) -> None:
    node("RPUSH", "list", "3", text)
    assert node.error("SORT", "list") == "ERR One or more scores can't be converted into double"
