"""Clients that wait for elements: served in order, timed out, woken by any command that makes the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.replication.role import Replication
from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode


def test_the_first_to_wait_is_the_first_served(node: InProcessNode) -> None:
    first, second = node.connect(), node.connect()
    assert first.raw("BLPOP", "list", 0) == second.raw("BRPOP", "other", "list", 0) == b""
    assert node("RPUSH", "list", "a", "b", "c") == 3
    assert first.decoded(first.received()) == [b"list", b"a"]
    assert second.decoded(second.received()) == [b"list", b"c"]
    assert node("LRANGE", "list", 0, -1) == [b"b"]


def test_what_is_there_is_served_at_once(node: InProcessNode) -> None:
    node("RPUSH", "two", "x", "y")
    assert node("BLPOP", "one", "two", 0) == [b"two", b"x"]
    assert node("BLMPOP", 0, 2, "one", "two", "RIGHT", "COUNT", 5) == [b"two", [b"y"]]
    node("ZADD", "set", 1, "low", 2, "high")
    assert node("BZPOPMAX", "set", 0) == [b"set", b"high", b"2"]
    assert node("BZMPOP", 0, 1, "set", "MIN") == [b"set", [[b"low", b"1"]]]
    assert node("EXISTS", "two", "set") == 0


def test_effects_are_those_of_the_plain_commands(node: InProcessNode) -> None:
    node.connect().raw("BLPOP", "list", 0)
    assert node.journaled("RPUSH", "list", "a", "b") == [[b"RPUSH", b"list", b"a", b"b"], [b"LPOP", b"list"]]
    assert node.journaled("BLMOVE", "list", "copy", "LEFT", "RIGHT", 0) == [
        [b"LMOVE", b"list", b"copy", b"LEFT", b"RIGHT"]
    ]
    assert node.journaled("BRPOPLPUSH", "copy", "list", 0) == [[b"RPOPLPUSH", b"copy", b"list"]]
    node("ZADD", "set", 1, "low", 2, "high")
    assert node.journaled("BZPOPMIN", "set", 0) == [[b"ZPOPMIN", b"set"]]


@pytest.mark.parametrize(
    ("waiting", "waking", "served"),
    [
        (("BLMOVE", "k", "to", "LEFT", "LEFT", 0), ("RPUSH", "k", "e"), b"e"),
        (("BRPOPLPUSH", "k", "to", 0), ("LPUSH", "k", "e"), b"e"),
        (("BZPOPMIN", "k", 0), ("ZADD", "k", 3, "m"), [b"k", b"m", b"3"]),
        (("BZMPOP", 0, 1, "k", "MAX"), ("ZADD", "k", 3, "m"), [b"k", [[b"m", b"3"]]]),
        (("BLPOP", "k", 0), ("RENAME", "full", "k"), [b"k", b"f"]),
        (("BLPOP", "k", 0), ("COPY", "full", "k"), [b"k", b"f"]),
        (("BLPOP", "k", 0), ("LMOVE", "full", "k", "LEFT", "RIGHT"), [b"k", b"f"]),
        (("BLPOP", "k", 0), ("SORT", "full", "ALPHA", "STORE", "k"), [b"k", b"f"]),
        (("BZPOPMIN", "k", 0), ("ZUNIONSTORE", "k", 1, "ranked"), [b"k", b"r", b"1"]),
        (("BZPOPMIN", "k", 0), ("ZRANGESTORE", "k", "ranked", 0, -1), [b"k", b"r", b"1"]),
    ],
)
def test_whatever_makes_the_key_wakes(
    node: InProcessNode, waiting: tuple[str, ...], waking: tuple[str, ...], served: object
) -> None:
    node("RPUSH", "full", "f")
    node("ZADD", "ranked", 1, "r")
    client = node.connect()
    assert client.raw(*waiting) == b""
    node(*waking)
    assert client.decoded(client.received()) == served


def test_a_key_of_another_type_wakes_nobody(node: InProcessNode) -> None:
    client = node.connect()
    client.raw("BLPOP", "k", 0)
    node("SET", "k", "string")
    node("DEL", "k")
    node("ZADD", "k", 1, "m")
    assert client.received() == b""
    node("DEL", "k")
    node("RPUSH", "k", "e")
    assert client.decoded(client.received()) == [b"k", b"e"]


def test_the_time_runs_out(node: InProcessNode) -> None:
    client, other = node.connect(), node.connect()
    client.raw("BLPOP", "k", "0.5")
    other.raw("BLMOVE", "k", "l", "LEFT", "LEFT", "0.7")
    node.advance(499)
    node.server.waiting.time_out(node.now_ms)
    assert client.received() == b""
    node.advance(1)
    node.server.waiting.time_out(node.now_ms)
    assert client.received() == b"*-1\r\n"
    node.advance(200)
    node.server.waiting.time_out(node.now_ms)
    assert other.received() == b"*-1\r\n"
    node("RPUSH", "k", "stays")
    assert node("LLEN", "k") == 1


def test_in_a_transaction_nobody_waits(node: InProcessNode) -> None:
    node("MULTI")
    node("BLPOP", "k", 0)
    node("BLMOVE", "k", "l", "LEFT", "LEFT", 0)
    node("BZPOPMIN", "k", 0)
    assert node("EXEC") == [None, None, None]


def test_a_transaction_wakes_once_it_is_whole(node: InProcessNode) -> None:
    client = node.connect()
    client.raw("BLPOP", "k", 0)
    node("MULTI")
    node("RPUSH", "k", "a")
    node("DEL", "k")
    node("RPUSH", "k", "b")
    node("EXEC")
    assert client.decoded(client.received()) == [b"k", b"b"]


def test_unblock_ends_a_wait(node: InProcessNode) -> None:
    client = node.connect()
    number = client("CLIENT", "ID")
    client.raw("BLPOP", "k", 0)
    assert node("CLIENT", "UNBLOCK", number, "ERROR") == 1
    assert client.received().startswith(b"-UNBLOCKED ")


def test_bad_timeouts_are_refused(node: InProcessNode) -> None:
    assert node.error("BLPOP", "k", "x") == "ERR timeout is not a float or out of range"
    assert node.error("BLPOP", "k", -1) == "ERR timeout is negative"
    assert node.error("BLPOP", "k", "nan") == "ERR timeout is not a float or out of range"
    assert node.error("BLPOP", "k", "-inf") == "ERR timeout is negative"
    assert [node.error("BLPOP", "k", far) for far in ("inf", "1e300", 9223372036854775)] == [
        "ERR timeout is out of range"
    ] * 3
    assert node.error("WAIT", 1, 2**63 - 1) == "ERR timeout is out of range"
    assert node.error("BLMPOP", 0, 0, "k", "LEFT") == "ERR numkeys should be greater than 0"
    assert node.error("BLMPOP", 0, 1, "k", "LEFT", "COUNT", 0) == "ERR count should be greater than 0"


def test_less_than_a_millisecond_is_rounded_up(node: InProcessNode) -> None:
    patient, hasty = node.connect(), node.connect()
    assert patient.raw("BLPOP", "k", "-0.0004") == hasty.raw("BLPOP", "k", "0.0004") == b""
    node.advance(1)
    node.server.waiting.time_out(node.now_ms)
    assert (patient.received(), hasty.received()) == (b"", b"*-1\r\n")


@pytest.mark.parametrize("mode", ["OFF", "SKIP"])
def test_a_client_that_wants_no_reply_gets_none_later_either(node: InProcessNode, mode: str) -> None:
    client = node.connect()
    client.chunk(("CLIENT", "REPLY", mode), ("BLPOP", "k", 0))
    node("RPUSH", "k", "e")
    assert (client.received(), node("EXISTS", "k")) == (b"", 0)


def info(node: InProcessNode, section: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in node("INFO", section).decode().splitlines() if ":" in line)


def test_info_counts_waits_and_how_they_ended(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    node("XGROUP", "CREATE", "s", "g", "$", "MKSTREAM")
    node.connect().raw("BLPOP", "k", "l", 0)
    node.connect().raw("BLPOP", "k", 5)
    node.connect().raw("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "s", ">")
    shown = info(node, "clients")
    names = ("blocked_clients", "clients_in_timeout_table", "total_blocking_keys", "total_blocking_keys_on_nokey")
    assert [shown[name] for name in names] == ["3", "1", "3", "1"]
    node("CLIENT", "UNBLOCK", 2, "ERROR")
    node("DEL", "s")
    assert info(node, "errorstats") == {"errorstat_NOGROUP": "count=1", "errorstat_UNBLOCKED": "count=1"}
    popped = info(node, "commandstats")["cmdstat_blpop"].split(",")
    assert (popped[0], popped[-1]) == ("calls=2", "failed_calls=1")


def test_a_pause_holds_back_who_was_to_be_served(node: InProcessNode) -> None:
    popper, reader = node.connect(), node.connect()
    popper.raw("BLPOP", "k", 0)
    reader.raw("XREAD", "BLOCK", 0, "STREAMS", "s", "$")
    node.client.chunk(
        ("MULTI",), ("RPUSH", "k", "e"), ("XADD", "s", "1-1", "f", "v"), ("CLIENT", "PAUSE", 100, "WRITE"), ("EXEC",)
    )
    assert popper.received() == b""
    assert reader.received() != b""
    node.advance(100)
    node.server.pause.tick(node.now_ms)
    node.end_batch()
    assert popper.decoded(popper.received()) == [b"k", b"e"]


def test_a_wait_within_a_transaction_does_not_split_it(node: InProcessNode) -> None:
    node.server.replication = Replication(node.server)
    effects = []
    for command in (("MULTI",), ("SET", "a", 1), ("WAIT", 1, 0), ("SET", "b", 2), ("EXEC",)):
        effects += node.journaled(*command)
    assert effects == [[b"MULTI"], [b"SET", b"a", b"1"], [b"SET", b"b", b"2"], [b"EXEC"]]


@pytest.mark.parametrize("sent", [b"BLPOP list 0\r\n", b"CLIENT PAUSE 100\r\n"])
def test_a_fault_behind_a_wait_costs_that_client_alone(node: InProcessNode, sent: bytes) -> None:
    def faulty(*_: object) -> bytes:
        raise MemoryError

    command = node.server.table.find(b"SETRANGE")
    assert command is not None
    command.handler = faulty
    client = node.connect()
    client.session.receive(sent + b"SETRANGE k 1 x\r\n")
    node.server.pause.stop("client")
    node("RPUSH", "list", "x")
    node.end_batch()
    assert client.session.closing
    assert any("MemoryError" in text for _, text in node.logged)
    assert node("PING") == b"PONG"
