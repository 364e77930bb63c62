"""XREAD and XREADGROUP with BLOCK, and what the commands of groups tell replicas and logs."""

from __future__ import annotations

import pytest

from tests.commands.in_process import START_MS, Client, InProcessNode

NOW = b"%d" % START_MS


def entry(entry_id: str, *items: str) -> list[object]:
    return [entry_id.encode(), [item.encode() for item in items]]


def waiting(node: InProcessNode, *command: str | int) -> Client:
    client = node.connect()
    assert client.raw(*command) == b""
    return client


def heard(client: Client) -> object:
    return client.decoded(client.received())


@pytest.fixture
def grouped(node: InProcessNode) -> InProcessNode:
    """A stream s with a group g that has read its one entry."""
    node("XADD", "s", "1-1", "f", "v")
    node("XGROUP", "CREATE", "s", "g", "$")
    return node


def test_readers_are_served_what_comes(node: InProcessNode) -> None:
    node("XADD", "s", "1-1", "f", "old")
    first = waiting(node, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    second = waiting(node, "XREAD", "COUNT", 1, "BLOCK", 0, "STREAMS", "t", "s", 0, "1-2")
    node("XADD", "s", "1-2", "f", "a")
    assert heard(first) == [[b"s", [entry("1-2", "f", "a")]]]
    assert heard(second) is None
    node("MULTI")
    node("XADD", "s", "1-3", "f", "b")
    node("XADD", "s", "1-4", "f", "c")
    node("XADD", "t", "1-1", "f", "d")
    node("EXEC")
    assert heard(second) == [[b"t", [entry("1-1", "f", "d")]], [b"s", [entry("1-3", "f", "b")]]]


def test_what_is_there_is_read_at_once(node: InProcessNode) -> None:
    node("XADD", "s", "1-1", "f", "v")
    assert node("XREAD", "BLOCK", 0, "STREAMS", "s", 0) == [[b"s", [entry("1-1", "f", "v")]]]
    node("HELLO", 3)
    assert node.client.raw("XREAD", "STREAMS", "s", 0).startswith(b"%1\r\n$1\r\ns\r\n*1\r\n")
    assert node.client.raw("XREAD", "STREAMS", "s", "$") == b"_\r\n"
    node("MULTI")
    node("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    assert node.client.raw("EXEC") == b"*1\r\n_\r\n"


def test_a_reader_waits_on_when_its_stream_is_gone(node: InProcessNode) -> None:
    node("XADD", "s", "5-1", "f", "v")
    client = waiting(node, "XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    node("DEL", "s")
    node("SET", "s", "text")
    node("DEL", "s")
    node("XADD", "s", "5-1", "f", "again")
    assert heard(client) is None
    node("XADD", "s", "5-2", "f", "v")
    assert heard(client) == [[b"s", [entry("5-2", "f", "v")]]]


def test_the_time_runs_out_and_unblock_ends_a_wait(grouped: InProcessNode) -> None:
    reader = waiting(grouped, "XREAD", "BLOCK", 100, "STREAMS", "s", "$")
    consumer = grouped.connect()
    number = consumer("CLIENT", "ID")
    consumer.raw("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    grouped.advance(100)
    grouped.server.waiting.time_out(grouped.now_ms)
    assert reader.received() == b"*-1\r\n"
    assert grouped("CLIENT", "UNBLOCK", number) == 1
    assert consumer.received() == b"*-1\r\n"
    consumer.raw("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    assert grouped("CLIENT", "UNBLOCK", number, "ERROR") == 1
    assert consumer.received().startswith(b"-UNBLOCKED ")


def test_consumers_take_turns(grouped: InProcessNode) -> None:
    command = ("XREADGROUP", "GROUP", "g", "first", "COUNT", 1, "BLOCK", 0, "STREAMS", "s", ">")
    first, second = waiting(grouped, *command), waiting(grouped, *command[:3], "second", *command[4:])
    assert grouped.journaled("XADD", "s", "1-2", "f", "a") == [
        [b"XADD", b"s", b"1-2", b"f", b"a"], [b"MULTI"],
        [b"XCLAIM", b"s", b"g", b"first", b"0", b"1-2", b"TIME", NOW, b"RETRYCOUNT", b"1", b"FORCE", b"JUSTID",
         b"LASTID", b"1-2"],
        [b"XGROUP", b"SETID", b"s", b"g", b"1-2", b"ENTRIESREAD", b"2"], [b"EXEC"],
    ]  # fmt: skip
    assert heard(first) == [[b"s", [entry("1-2", "f", "a")]]]
    assert heard(second) is None
    grouped("XADD", "s", "1-3", "f", "b")
    assert heard(second) == [[b"s", [entry("1-3", "f", "b")]]]
    assert grouped("XPENDING", "s", "g") == [2, b"1-2", b"1-3", [[b"first", b"1"], [b"second", b"1"]]]


NO_GROUP = "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


@pytest.mark.parametrize(("commands", "error"), [
    ([("DEL", "s")], NO_GROUP),
    ([("UNLINK", "s")], NO_GROUP),
    ([("XGROUP", "DESTROY", "s", "g")], NO_GROUP),
    ([("FLUSHALL",)], NO_GROUP),
    ([("FLUSHDB",)], NO_GROUP),
    ([("RENAME", "s", "t")], NO_GROUP),
    ([("SWAPDB", 0, 1)], NO_GROUP),
    ([("SET", "s", "text")], WRONG_TYPE),
    ([("MULTI",), ("DEL", "s"), ("SADD", "s", "m"), ("EXEC",)], WRONG_TYPE),
    ([("PEXPIREAT", "s", 1)], NO_GROUP),
])  # fmt: skip
def test_a_consumer_learns_that_its_stream_or_group_is_gone(
    grouped: InProcessNode, commands: list[tuple[str | int, ...]], error: str
) -> None:
    client = waiting(grouped, "XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    for command in commands:
        grouped(*command)
    assert str(heard(client)) == error


def test_a_consumer_learns_that_its_stream_expired(grouped: InProcessNode) -> None:
    client = waiting(grouped, "XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    grouped("PEXPIRE", "s", 10)
    grouped.advance(11)
    grouped("GET", "s")
    assert str(heard(client)) == NO_GROUP


def test_a_group_made_anew_in_one_transaction_is_no_end(grouped: InProcessNode) -> None:
    client = waiting(grouped, "XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    grouped("MULTI")
    grouped("DEL", "s")
    grouped("XGROUP", "CREATE", "s", "g", 0, "MKSTREAM")
    grouped("EXEC")
    assert heard(client) is None
    grouped("XADD", "s", "1-1", "f", "v")
    assert heard(client) == [[b"s", [entry("1-1", "f", "v")]]]


def test_effects_of_reading_in_a_group(grouped: InProcessNode) -> None:
    read = ("XREADGROUP", "GROUP", "g", "c")
    # Since 7.2 a consumer is there once it has asked.
    made = [b"XGROUP", b"CREATECONSUMER", b"s", b"g", b"c"]
    assert grouped.journaled(*read, "STREAMS", "s", ">") == [made]
    assert grouped.journaled(*read, "STREAMS", "s", ">") == []
    grouped("XADD", "s", "1-2", "f", "v")
    grouped("XGROUP", "DELCONSUMER", "s", "g", "c")
    assert grouped.journaled(*read, "NOACK", "STREAMS", "s", ">") == [
        [b"MULTI"], made, [b"XGROUP", b"SETID", b"s", b"g", b"1-2", b"ENTRIESREAD", b"2"], [b"EXEC"],
    ]  # fmt: skip
    assert grouped("XPENDING", "s", "g") == [0, None, None, None]
    grouped("XADD", "s", "1-3", "f", "v")
    grouped(*read, "STREAMS", "s", ">")
    assert grouped.journaled(*read, "STREAMS", "s", 0) == []
    assert grouped("XPENDING", "s", "g", "-", "+", 1)[0][3] == 2
    assert [grouped("XGROUP", "CREATECONSUMER", "s", "g", name) for name in ("c", "d")] == [0, 1]
    assert grouped.journaled("XACK", "s", "g", "1-3") == [[b"XACK", b"s", b"g", b"1-3"]]
    assert grouped.journaled("XACK", "s", "g", "1-3") == []


def test_effects_of_claims(grouped: InProcessNode) -> None:
    grouped("XADD", "s", "1-2", "f", "v")
    grouped("XADD", "s", "1-3", "f", "v")
    grouped("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")

    def claimed(consumer: bytes, entry_id: bytes, count: bytes, last: bytes = b"1-3") -> list[bytes]:
        return [b"XCLAIM", b"s", b"g", consumer, b"0", entry_id, b"TIME", NOW, b"RETRYCOUNT", count, b"FORCE",
                b"JUSTID", b"LASTID", last]  # fmt: skip

    assert grouped.journaled("XCLAIM", "s", "g", "d", 0, "1-2") == [claimed(b"d", b"1-2", b"2")]
    assert grouped.journaled("XCLAIM", "s", "g", "d", 5000, "1-2") == []
    assert grouped.journaled("XCLAIM", "s", "g", "d", 5000, "1-2", "LASTID", "1-4") == [
        [b"XGROUP", b"SETID", b"s", b"g", b"1-4", b"ENTRIESREAD", b"3"]
    ]
    grouped("XDEL", "s", "1-3")
    assert grouped.journaled("XAUTOCLAIM", "s", "g", "e", 0, "-", "JUSTID") == [
        [b"MULTI"], claimed(b"e", b"1-2", b"2", b"1-4"), claimed(b"c", b"1-3", b"1", b"1-4"), [b"EXEC"],
    ]  # fmt: skip
    assert grouped.journaled("XAUTOCLAIM", "s", "g", "f", 9999, "-") == [
        [b"XGROUP", b"CREATECONSUMER", b"s", b"g", b"f"]
    ]


def test_groups_are_nothing_that_watch_sees(grouped: InProcessNode) -> None:
    client = grouped.connect()
    client("WATCH", "s")
    grouped("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    grouped("XGROUP", "CREATE", "s", "h", 0)
    client("MULTI")
    assert client("EXEC") == []
    client("WATCH", "s")
    grouped("XADD", "s", "9-1", "f", "v")
    client("MULTI")
    assert client("EXEC") is None


def test_when_a_consumer_was_seen_and_when_it_got_something(grouped: InProcessNode) -> None:
    def times() -> tuple[int, int]:
        [shown] = grouped("XINFO", "CONSUMERS", "s", "g")
        return shown[5], shown[7]

    grouped("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    grouped.advance(10)
    assert times() == (10, -1)
    grouped("XADD", "s", "2-1", "f", "v")
    grouped("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    grouped.advance(10)
    grouped("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">")
    grouped.advance(5)
    assert times() == (5, 15)
    full = grouped("XINFO", "STREAM", "s", "FULL")
    [group] = full[full.index(b"groups") + 1]
    [consumer] = group[group.index(b"consumers") + 1]
    assert consumer[:6] == [b"name", b"c", b"seen-time", START_MS + 20, b"active-time", START_MS + 10]


def test_lag_is_known_where_nothing_deleted_lies_ahead(grouped: InProcessNode) -> None:
    def lag() -> object:
        [shown] = grouped("XINFO", "GROUPS", "s")
        return shown[shown.index(b"lag") + 1]

    for seq in (2, 3, 4):
        grouped("XADD", "s", f"1-{seq}", "f", "v")
    assert lag() == 3
    assert grouped("XGROUP", "SETID", "s", "g", "1-1", "ENTRIESREAD", 1) == b"OK"
    grouped("XREADGROUP", "GROUP", "g", "c", "COUNT", 1, "STREAMS", "s", ">")
    assert lag() == 2
    grouped("XDEL", "s", "1-3")
    assert lag() is None
    grouped("XGROUP", "SETID", "s", "g", "$")
    assert lag() == 0
