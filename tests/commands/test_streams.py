"""Streams: ids by the clock, and what replicas and logs are told. (Replies: tests/differential.)"""

from __future__ import annotations

import pytest

from tests.commands.in_process import START_MS, InProcessNode


def ids(node: InProcessNode, key: str = "s") -> list[bytes]:
    return [entry[0] for entry in node("XRANGE", key, "-", "+")]


def test_an_id_is_the_time_and_goes_on_where_that_stands_still(node: InProcessNode) -> None:
    first, second = node("XADD", "s", "*", "f", 1), node("XADD", "s", "*", "f", 2)
    assert (first, second) == (b"%d-0" % START_MS, b"%d-1" % START_MS)
    node.advance(-5)
    assert node("XADD", "s", "*", "f", 3) == b"%d-2" % START_MS
    assert node("XADD", "s", START_MS + 9, "f", 4) == b"%d-0" % (START_MS + 9)
    node.advance(100)
    assert node("XADD", "s", f"{START_MS + 9}-*", "f", 5) == b"%d-1" % (START_MS + 9)
    assert node("XADD", "s", "*", "f", 6) == b"%d-0" % (START_MS + 95)


def test_the_last_id_there_can_be_is_the_end(node: InProcessNode) -> None:
    top = (1 << 64) - 1
    assert node("XADD", "s", f"5-{top}", "f", "v") == b"5-%d" % top
    assert node.error("XADD", "s", "5-*", "f", "v") == (
        "ERR The ID specified in XADD is equal or smaller than the target stream top item"
    )
    node("XSETID", "s", f"{START_MS + 1}-{top}")
    assert node("XADD", "s", "*", "f", "v") == b"%d-0" % (START_MS + 2)
    node("XADD", "s", f"{top}-{top}", "f", "v")
    assert "exhausted the last possible ID" in node.error("XADD", "s", "*", "f", "v")


def test_effects_name_the_id_and_the_exact_trimming() -> None:
    node = InProcessNode(("stream-node-max-entries", "2"))
    assert node.journaled("XADD", "s", "*", "f", 1) == [[b"XADD", b"s", b"%d-0" % START_MS, b"f", b"1"]]
    node("XADD", "s", f"{START_MS}-*", "f", 2)
    node("XADD", "s", "*", "f", 3)
    assert node.journaled("XADD", "s", "NOMKSTREAM", "MAXLEN", "~", 1, "LIMIT", 5, "*", "f", 4) == [
        [b"XADD", b"s", b"NOMKSTREAM", b"MAXLEN", b"=", b"2", b"LIMIT", b"5", b"%d-3" % START_MS, b"f", b"4"]
    ]
    node("XADD", "s", "*", "f", 5)
    assert node.journaled("XTRIM", "s", "MINID", "~", f"{START_MS}-4") == [
        [b"XTRIM", b"s", b"MINID", b"=", b"%d-4" % START_MS]
    ]
    node("XADD", "s", "*", "f", 6)
    assert node.journaled("XTRIM", "s", "MAXLEN", "~", 1) == []
    assert node.journaled("XTRIM", "s", "MAXLEN", 0) == [[b"XTRIM", b"s", b"MAXLEN", b"0"]]
    assert node.journaled("XTRIM", "s", "MAXLEN", 0) == node.journaled("XDEL", "s", "1-1") == []
    assert node.journaled("XADD", "none", "NOMKSTREAM", "*", "f", 1) == []


def test_approximate_trimming_stops_where_it_would_take_long() -> None:
    node = InProcessNode(("stream-node-max-entries", "1"))
    for number in range(250):
        node("XADD", "s", "*", "f", number)
    assert node("XTRIM", "s", "MAXLEN", "~", 0) == 100
    assert node("XTRIM", "s", "MAXLEN", "~", 0, "LIMIT", 0) == 150


def test_the_last_id_does_not_go_below_what_was_deleted(node: InProcessNode) -> None:
    """Since Redis 7.2."""
    node("XADD", "s", "1-1", "f", "v")
    node("XADD", "s", "1-2", "f", "v")
    node("XDEL", "s", "1-2")
    assert node.error("XSETID", "s", "1-1") == (
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
    )
    assert node("XSETID", "s", "1-2") == b"OK"


def test_an_empty_stream_stays(node: InProcessNode) -> None:
    node("XADD", "s", "5-1", "f", "v")
    node("XDEL", "s", "5-1")
    assert node("EXISTS", "s") == 1
    assert node("XLEN", "s") == 0
    assert node.error("XADD", "s", "5-1", "f", "v").startswith("ERR The ID specified in XADD is equal or smaller")


def test_a_stream_is_known_as_one(node: InProcessNode) -> None:
    node("XADD", "s", "1-1", "f", "v")
    node("SET", "text", "v")
    assert node("TYPE", "s") == b"stream"
    assert node("OBJECT", "ENCODING", "s") == b"stream"
    assert node("SCAN", 0, "TYPE", "stream") == [b"0", [b"s"]]
    assert 400 < node("MEMORY", "USAGE", "s") < 2000
    for command in (("XADD", "text", "*", "f", "v"), ("XLEN", "text"), ("XRANGE", "text", "-", "+"),
                    ("XREVRANGE", "text", "+", "-"), ("XDEL", "text", "1"), ("XTRIM", "text", "MAXLEN", 1)):
        assert node.error(*command).startswith("WRONGTYPE")
    assert node.error("GET", "s").startswith("WRONGTYPE")


@pytest.mark.parametrize("resp", [2, 3])
def test_a_payload_is_the_stream_again(node: InProcessNode, resp: int) -> None:
    node("HELLO", resp)
    for number in range(5):
        node("XADD", "s", f"1-{number + 1}", "f", number, "g", "x")
    node("XDEL", "s", "1-2")
    node("RESTORE", "t", 0, node("DUMP", "s"))
    assert node("COPY", "s", "u") == 1
    node("XADD", "s", "2", "f", "v")
    assert ids(node, "t") == ids(node, "u") == [b"1-1", b"1-3", b"1-4", b"1-5"]
    assert node("XRANGE", "t", "-", "+") == node("XRANGE", "u", "-", "+")


def test_help_names_the_subcommands(node: InProcessNode) -> None:
    for lines, names in ((node("XGROUP", "HELP"), [b"CREATE", b"SETID", b"DESTROY", b"DELCONSUMER"]),
                         (node("XINFO", "HELP"), [b"STREAM", b"GROUPS", b"CONSUMERS"])):  # fmt: skip
        for name in names:
            assert any(line.startswith(name + b" ") for line in lines)


@pytest.mark.parametrize(
    "line", ["XDELEX s IDS 2 1-1", "XDELEX s IDS x 1-1", "XACKDEL s g IDS 2 1-1", "XACKDEL s g A B C"]
)
def test_the_type_of_the_key_is_looked_at_before_the_ids(node: InProcessNode, line: str) -> None:
    node("SET", "s", "x")
    assert node.error(*line.split()).startswith("WRONGTYPE")
