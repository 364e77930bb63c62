"""The server itself: its commands described, time, databases, memory, the slow log, snapshots, MONITOR, SHUTDOWN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.observing import redacted
from tests.commands.in_process import START_MS, Client, InProcessNode
from tests.commands.whole import WholeNode


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def flat(reply: list[Any]) -> dict[Any, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


# -- COMMAND -----------------------------------------------------------------------------------------------------


def test_the_commands_are_counted_listed_and_described(node: InProcessNode) -> None:
    every = node("COMMAND", "LIST")
    names = [name for name in every if b"|" not in name]
    assert {b"config|get", b"cluster|nodes"} <= set(every)
    assert node("COMMAND", "COUNT") == len(names) == len(node("COMMAND")) == len(node("COMMAND", "INFO"))
    assert {b"get", b"cluster", b"multi"} <= set(names)


def test_info_of_some(node: InProcessNode) -> None:
    get, nothing, subcommand = node("COMMAND", "INFO", "GET", "nonsense", "config|get")
    assert get[:7] == [b"get", 2, [b"fast", b"readonly"], 1, 1, 1, [b"@read", b"@string", b"@fast"]]
    assert nothing is None
    assert subcommand[:2] == [b"config|get", -3]


def test_docs(node: InProcessNode) -> None:
    found = flat(node("COMMAND", "DOCS", "set", "nonsense", "client"))
    assert list(found) == [b"set", b"client"]
    described = flat(found[b"set"])
    assert (described[b"since"], described[b"group"]) == (b"1.0.0", b"string")
    assert described[b"summary"]
    assert b"client|id" in flat(flat(found[b"client"])[b"subcommands"])
    assert len(flat(node("COMMAND", "DOCS"))) == node("COMMAND", "COUNT")


def test_lists_that_pass_a_filter(node: InProcessNode) -> None:
    assert node("COMMAND", "LIST", "FILTERBY", "PATTERN", "READ*") == [b"readonly", b"readwrite"]
    assert b"config|set" in node("COMMAND", "LIST", "FILTERBY", "ACLCAT", "dangerous")
    assert node("COMMAND", "LIST", "FILTERBY", "MODULE", "any") == []


def test_the_keys_of_a_line(node: InProcessNode) -> None:
    assert node("COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]
    assert node("COMMAND", "GETKEYSANDFLAGS", "COPY", "a", "b") == [
        [b"a", [b"RO", b"access"]], [b"b", [b"OW", b"update"]],
    ]
    assert node("COMMAND", "GETKEYSANDFLAGS", "SET", "a", "1", "GET") == [[b"a", [b"RW", b"access", b"update"]]]
    assert node.error("COMMAND", "GETKEYS", "PING", "a") == "ERR The command has no key arguments"
    assert node.error("COMMAND", "GETKEYS", "NONSENSE") == "ERR Invalid command specified"
    assert node.error("COMMAND", "NONSENSE") == "ERR unknown subcommand 'NONSENSE'. Try COMMAND HELP."


# -- the databases -----------------------------------------------------------------------------------------------


def test_flushing_one_or_all(node: InProcessNode) -> None:
    node("SET", "a", "1")
    node("SELECT", 1)
    node("MSET", "b", "1", "c", "2")
    assert node("DBSIZE") == 2
    assert node("FLUSHDB") == b"OK"
    assert node("DBSIZE") == 0
    node("SELECT", 0)
    assert node("DBSIZE") == 1
    assert node("FLUSHALL", "SYNC") == b"OK"
    assert node("DBSIZE") == 0


def test_time(whole: WholeNode) -> None:
    assert whole("TIME") == [b"%d" % (START_MS // 1000), b"0"]
    whole.advance(1_234)
    assert whole("TIME") == [b"%d" % (START_MS // 1000 + 1), b"234000"]


def test_dump_and_restore(whole: WholeNode) -> None:
    whole("HSET", "h", "f", "v")
    payload = whole("DUMP", "h")
    assert whole("DUMP", "missing") is None
    assert whole("RESTORE", "copy", 5_000, payload) == b"OK"
    assert (whole("HGETALL", "copy"), whole("PTTL", "copy")) == ([b"f", b"v"], 5_000)
    assert whole.error("RESTORE", "copy", 0, payload) == "BUSYKEY Target key name already exists."
    assert whole("RESTORE", "copy", START_MS + 9_000, payload, "ABSTTL", "REPLACE") == b"OK"
    assert whole("PTTL", "copy") == 9_000
    assert whole("RESTORE-ASKING", "other", 0, payload) == b"OK"
    broken = payload[:-1] + bytes([payload[-1] ^ 1])
    assert whole.error("RESTORE", "x", 0, broken) == "ERR DUMP payload version or checksum are wrong"


def test_restored_in_the_past_is_not_there(whole: WholeNode) -> None:
    whole("SET", "a", "1")
    payload = whole("DUMP", "a")
    assert whole("RESTORE", "b", START_MS - 1, payload, "ABSTTL") == b"OK"
    assert whole("EXISTS", "b") == 0
    assert whole.journaled("RESTORE", "a", 1, payload, "ABSTTL", "REPLACE") == [[b"DEL", b"a"]]


def test_restore_takes_the_use_along(tmp_path: Path) -> None:
    recent = WholeNode(tmp_path, ("maxmemory-policy", "allkeys-lru"), ("maxmemory", "100mb"))
    recent("SET", "a", "1")
    payload = recent("DUMP", "a")
    assert recent("RESTORE", "b", 0, payload, "IDLETIME", 1_000) == b"OK"
    assert recent("OBJECT", "IDLETIME", "b") == 1_000
    assert recent.journaled("RESTORE", "b", 0, payload, "IDLETIME", 7, "REPLACE") == [
        [b"RESTORE", b"b", b"0", payload, b"ABSTTL", b"REPLACE", b"IDLETIME", b"7"]
    ]
    recent.server.config.set([("maxmemory-policy", "allkeys-lfu")])
    recent.server.memory.configure()
    assert recent("RESTORE", "c", 0, payload, "FREQ", 77) == b"OK"
    assert recent("OBJECT", "FREQ", "c") == 77
    assert recent.journaled("RESTORE", "d", 0, payload, "FREQ", 9) == [
        [b"RESTORE", b"d", b"0", payload, b"ABSTTL", b"REPLACE", b"FREQ", b"9"]
    ]
    assert recent.error("OBJECT", "IDLETIME", "c").startswith("ERR An LFU maxmemory policy is selected")


# -- memory, the slow log ----------------------------------------------------------------------------------------


def test_memory_usage_grows_with_the_value(node: InProcessNode) -> None:
    node("SET", "small", "x")
    node("SET", "large", "x" * 10_000)
    node("RPUSH", "list", *range(1_000))
    small, large = node("MEMORY", "USAGE", "small"), node("MEMORY", "USAGE", "large")
    assert 0 < small < 10_000 < large
    assert node("MEMORY", "USAGE", "list", "SAMPLES", 0) > small
    assert node("MEMORY", "USAGE", "missing") is None


def test_memory_in_words_and_figures(whole: WholeNode) -> None:
    whole("SET", "a", "1")
    figures = flat(whole("MEMORY", "STATS"))
    assert figures[b"keys.count"] == 1
    assert {b"peak.allocated", b"total.allocated", b"dataset.bytes", b"fragmentation"} <= figures.keys()
    assert b"little data" in whole("MEMORY", "DOCTOR")
    assert whole("MEMORY", "PURGE") == b"OK"
    assert whole.purged


def test_the_slow_log(node: InProcessNode) -> None:
    node("CLIENT", "SETNAME", "tester")
    node.server.times.slow_ns = 0
    node("SET", "a", "1")
    node("GET", "a")
    node.server.times.slow_ns = 1 << 62
    assert node("SLOWLOG", "LEN") == 2
    newest, oldest = node("SLOWLOG", "GET")
    assert newest[3:] == [[b"GET", b"a"], b"127.0.0.1:50000", b"tester"]
    assert newest[0] > oldest[0]
    assert newest[1] == START_MS // 1000
    assert node("SLOWLOG", "GET", 1) == [newest]
    assert len(node("SLOWLOG", "GET", -1)) == 2
    assert node("SLOWLOG", "RESET") == b"OK"
    assert node("SLOWLOG", "LEN") == 0


def test_the_slow_log_abridges(node: InProcessNode) -> None:
    node.server.times.slow_ns = 0
    node("SET", "a", "x" * 130)
    node("DEL", *range(40))
    node("DEL", *range(31))
    node.server.times.slow_ns = 1 << 62
    whole, many, long = (entry[3] for entry in node("SLOWLOG", "GET", 3))
    assert long == [b"SET", b"a", b"x" * 128 + b"... (2 more bytes)"]
    assert many == [b"DEL", *(b"%d" % number for number in range(30)), b"... (10 more arguments)"]
    assert len(whole) == 32


def test_the_slow_log_keeps_its_length_and_its_numbers_rise(node: InProcessNode) -> None:
    node("CONFIG", "SET", "slowlog-max-len", "3")
    node.server.times.slow_ns = 0
    for _ in range(6):
        node("PING")
    node.server.times.slow_ns = 1 << 62
    numbers = [entry[0] for entry in node("SLOWLOG", "GET")]
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers), reverse=True)
    node("SLOWLOG", "RESET")
    node.server.times.slow_ns = 0
    node("PING")
    node.server.times.slow_ns = 1 << 62
    assert node("SLOWLOG", "GET", 1)[0][0] > numbers[0]


# -- the disk, the end -------------------------------------------------------------------------------------------


def test_save_writes_a_snapshot(whole: WholeNode, tmp_path: Path) -> None:
    whole("SET", "a", "1")
    whole.advance(5_000)
    assert whole("SAVE") == b"OK"
    assert (tmp_path / "dump.rdb").read_bytes().startswith(b"REDIS00")
    assert whole("LASTSAVE") == START_MS // 1000 + 5
    assert whole.error("BGSAVE", "NOW") == "ERR syntax error"


def test_a_snapshot_that_cannot_be_written_is_said(whole: WholeNode, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").mkdir()
    assert whole.error("SAVE") == "ERR Error trying to save the DB, check server logs"


@pytest.mark.parametrize(
    ("words", "meaning"),
    [((), set()), (("NOSAVE",), {"nosave"}), (("save", "now", "force"), {"save", "now", "force"})],
)
def test_shutdown(whole: WholeNode, words: tuple[str, ...], meaning: set[str]) -> None:
    assert whole.client.raw("SHUTDOWN", *words) == b""
    assert whole.shutdowns == [meaning]


def test_shutdown_s_words(whole: WholeNode) -> None:
    assert whole.error("SHUTDOWN", "SAVE", "NOSAVE") == "ERR syntax error"
    assert whole.error("SHUTDOWN", "ABORT") == "ERR No shutdown in progress."
    whole.server.shell.abort_shutdown = lambda: True
    assert whole("SHUTDOWN", "ABORT") == b"OK"
    assert whole.shutdowns == []


def test_monitor_shows_what_others_do(node: InProcessNode) -> None:
    node.server.shell.clock_us = lambda: START_MS * 1000 + 77
    watching = node.connect()
    assert watching("MONITOR") == b"OK"
    node("SELECT", 2)
    node("SET", "a", '"x"\n\x00')
    node("CONFIG", "GET", "port")
    lines = watching.received().split(b"\r\n")
    stamp = b"+%d.000077 " % (START_MS // 1000)
    assert lines == [
        stamp + b'[2 127.0.0.1:50000] "SELECT" "2"',
        stamp + b'[2 127.0.0.1:50000] "SET" "a" "\\"x\\"\\n\\x00"',
        b"",
    ]
    watching("RESET")
    node("PING")
    assert watching.received() == b""


def test_monitor_shows_a_transaction_as_it_ran(node: InProcessNode) -> None:
    watching = node.connect()
    watching("MONITOR")
    for command in (["MULTI"], ["SET", "a", "1"], ["GET", "a"], ["EXEC"]):
        node(*command)
    assert _monitored(watching) == ['"MULTI"', '"SET" "a" "1"', '"GET" "a"', '"EXEC"']


GIVING_SECRETS = {
    "AUTH secret": "AUTH -",
    "AUTH bob secret": "AUTH - -",
    "HELLO 3 AUTH bob secret SETNAME a": "HELLO 3 AUTH - - SETNAME a",
    "MIGRATE 127.0.0.1 1 auth 0 10 COPY AUTH secret": "MIGRATE 127.0.0.1 1 auth 0 10 COPY AUTH -",
    "migrate 127.0.0.1 1  0 10 auth2 bob secret KEYS auth x": "migrate 127.0.0.1 1  0 10 auth2 - - KEYS auth x",
    "CONFIG SET maxclients 90 masterauth secret": "CONFIG SET maxclients 90 masterauth -",
    "SET auth secret": "SET auth secret",
}


@pytest.mark.parametrize(("sent", "shown"), GIVING_SECRETS.items())
def test_no_password_is_shown(sent: str, shown: str) -> None:
    arguments = [word.encode() for word in sent.split(" ")]
    assert b" ".join(redacted(arguments)).decode() == shown.replace("-", "(redacted)")


def test_monitor_and_the_slow_log_hold_no_password(node: InProcessNode) -> None:
    watching = node.connect()
    watching("MONITOR")
    node.server.times.slow_ns = 0
    node.error("AUTH", "bob", "secret")
    node.server.times.slow_ns = 1 << 62
    assert _monitored(watching) == ['"AUTH" "(redacted)" "(redacted)"']
    assert node("SLOWLOG", "GET", 1)[0][3] == [b"AUTH", b"(redacted)", b"(redacted)"]


def _monitored(watching: Client) -> list[str]:
    return [line.partition(b"] ")[2].decode() for line in watching.received().splitlines()]


def test_what_replicas_are_waited_for(whole: WholeNode) -> None:
    assert whole("WAIT", 0, 0) == 0
    assert whole.client.raw("WAIT", 1, 100) == b""
    assert whole.client.session.is_waiting


def test_an_acknowledgement_is_of_replicas(whole: WholeNode) -> None:
    assert whole("REPLCONF", "listening-port", 7001, "capa", "psync2") == b"OK"
    assert whole.error("REPLCONF", "nonsense", 1) == "ERR Unrecognized REPLCONF option: nonsense"
    assert whole.client.raw("REPLCONF", "ACK", 100) == b""
