"""DEBUG: refused unless it is enabled; then each of its subcommands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode

NOT_ALLOWED = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\""


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def test_it_is_refused_by_default(node: InProcessNode) -> None:
    assert node.error("DEBUG", "DIGEST").startswith(NOT_ALLOWED)
    assert node.error("DEBUG", "HELP").startswith(NOT_ALLOWED)


def test_local_means_from_here() -> None:
    node = InProcessNode(("enable-debug-command", "local"))
    assert node("DEBUG", "DIGEST") == b"0" * 40
    distant = node.connect()
    distant.session.address = "10.1.2.3:4"
    assert distant.error("DEBUG", "DIGEST").startswith(NOT_ALLOWED)


def test_help_and_unknown_words(whole: WholeNode) -> None:
    text = b"\n".join(whole("DEBUG", "HELP"))
    assert b"SLEEP <seconds>" in text
    assert whole.error("DEBUG", "NONSENSE") == (
        "ERR unknown subcommand or wrong number of arguments for 'NONSENSE'. Try DEBUG HELP."
    )


def test_digests_follow_the_data(whole: WholeNode) -> None:
    empty = whole("DEBUG", "DIGEST")
    whole("SET", "a", "1")
    whole("RPUSH", "l", "x", "y")
    before = whole("DEBUG", "DIGEST")
    one, two = whole("DEBUG", "DIGEST-VALUE", "a", "l")
    assert len({empty, before, one, two}) == 4
    whole("SET", "a", "2")
    assert whole("DEBUG", "DIGEST") != before
    whole("SET", "a", "1")
    assert whole("DEBUG", "DIGEST") == before
    assert whole("DEBUG", "DIGEST-VALUE", "missing") == [b"0" * 40]


def test_object_sdslen_listpack(whole: WholeNode) -> None:
    whole("SET", "a", "hello")
    whole("RPUSH", "l", "x")
    shown = whole("DEBUG", "OBJECT", "a").decode()
    assert " refcount:1 encoding:embstr serializedlength:6 lru:" in shown
    assert whole("DEBUG", "SDSLEN", "a").decode().startswith("key_sds_len:1, ")
    assert whole.error("DEBUG", "SDSLEN", "l") == "ERR Not an sds encoded string."
    assert whole("DEBUG", "LISTPACK", "l") == b"Listpack structure printed on stdout"
    assert whole.error("DEBUG", "LISTPACK", "a") == "ERR Not a listpack encoded object."
    assert whole.error("DEBUG", "OBJECT", "missing") == "ERR no such key"


def test_reload_brings_everything_back(whole: WholeNode) -> None:
    whole("SET", "a", "1", "PX", 5_000)
    whole("ZADD", "z", 1.5, "m")
    before = whole("DEBUG", "DIGEST")
    assert whole("DEBUG", "RELOAD") == b"OK"
    assert whole("DEBUG", "DIGEST") == before
    assert whole("PTTL", "a") == 5_000
    assert whole("DEBUG", "RELOAD", "MERGE", "NOFLUSH") == b"OK"
    whole("SET", "later", "1")
    assert whole("DEBUG", "RELOAD", "NOSAVE") == b"OK"
    assert whole("EXISTS", "a", "later") == 1
    assert whole.error("DEBUG", "RELOAD", "NOSAVE", "NOFLUSH").startswith("ERR Error trying to load the RDB dump")


def test_there_is_no_append_only_file(whole: WholeNode) -> None:
    assert whole.error("DEBUG", "LOADAOF") == "ERR The append-only file is not enabled."


def test_populate(whole: WholeNode) -> None:
    whole("SET", "key:1", "mine")
    assert whole("DEBUG", "POPULATE", 3) == b"OK"
    assert whole("MGET", "key:0", "key:1", "key:2") == [b"value:0", b"mine", b"value:2"]
    whole("DEBUG", "POPULATE", 1, "p", 10)
    assert whole("GET", "p:0") == b"value:0\0\0\0"
    whole("DEBUG", "POPULATE", 1, "q", 3)
    assert whole("GET", "q:0") == b"val"


def test_protocol_shows_every_type(whole: WholeNode) -> None:
    whole("HELLO", 3)
    shown = {
        kind: whole.client.raw("DEBUG", "PROTOCOL", kind)[:1]
        for kind in ("string", "integer", "double", "null", "array", "set", "map", "bignum", "attrib", "push",
                     "verbatim", "true", "false")
    }  # fmt: skip
    assert b"".join(shown.values()) == b"$:,_*~%(|>=##"
    whole("HELLO", 2)
    assert whole.error("DEBUG", "PROTOCOL", "push") == "ERR RESP2 is not supported by this command"


def test_switches_of_the_periodic_work(whole: WholeNode) -> None:
    assert whole("DEBUG", "SET-ACTIVE-EXPIRE", 0) == b"OK"
    assert not whole.server.active_expiry
    assert whole("DEBUG", "PAUSE-CRON", 1) == b"OK"
    assert whole.server.cron_paused
    for accepted in ("QUICKLIST-PACKED-THRESHOLD 100b", "REPLYBUFFER PEAK-RESET-TIME 1",
                     "SET-SKIP-CHECKSUM-VALIDATION 1"):  # fmt: skip
        assert whole("DEBUG", *accepted.split()) == b"OK"


def test_what_is_asked_of_the_process(whole: WholeNode) -> None:
    assert whole("DEBUG", "SLEEP", "0.25") == b"OK"
    assert whole.stalled_seconds == 0.25
    assert whole("DEBUG", "LOG", "hello") == b"OK"
    assert ("warning", "DEBUG LOG: hello") in whole.logged
    whole("DEBUG", "SEGFAULT")
    assert whole.crashed
    whole.crashed = False
    whole("DEBUG", "PANIC")
    assert whole.crashed


def test_errors_and_hostile_patterns(whole: WholeNode) -> None:
    assert whole.error("DEBUG", "ERROR", "CODE a\nb") == "CODE a b"
    assert whole("DEBUG", "STRINGMATCH-LEN", 2_000, "a*a*a*a*b") == b"OK"


def test_replicate_tells_replicas_only(whole: WholeNode) -> None:
    assert whole.journaled("DEBUG", "REPLICATE", "SET", "a", "1") == [[b"SET", b"a", b"1"]]
    assert whole("GET", "a") is None


def test_the_bus_can_be_disturbed(tmp_path: Path) -> None:
    node = WholeNode(tmp_path, ("cluster-enabled", "yes"))
    assert node.bus is not None
    mine = node("CLUSTER", "MYID").decode()
    assert node("DEBUG", "DROP-CLUSTER-PACKET-FILTER", 2) == b"OK"
    assert node.bus.dropped_kind == 2
    assert node("DEBUG", "CLUSTERLINK", "KILL", "all", mine) == b"OK"
    assert node.bus.killed == [("all", mine)]
    assert node.error("DEBUG", "CLUSTERLINK", "KILL", "all", "nobody") == "ERR Unknown node nobody"
    assert node.error("DEBUG", "CLUSTERLINK", "CUT", "all", mine) == "ERR syntax error"


def test_without_a_bus_there_is_nothing_to_disturb(whole: WholeNode) -> None:
    assert whole.error("DEBUG", "CLUSTERLINK", "KILL", "to", "x") == "ERR This instance has cluster support disabled"
