"""CONFIG: directives read and changed while the node runs, all or none; the file rewritten; counters set back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.in_process import InProcessNode
from tests.commands.whole import WholeNode


def pairs(reply: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def test_get_takes_names_and_patterns(node: InProcessNode) -> None:
    assert node("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"0"]
    assert pairs(node("CONFIG", "GET", "MaxMemory", "maxmemory-p*")) == {
        b"MaxMemory": b"0", b"maxmemory-policy": b"noeviction",
    }
    assert node("CONFIG", "GET", "no-such-directive") == []
    assert len(node("CONFIG", "GET", "*")) > 100


def test_get_is_a_map_in_resp3(node: InProcessNode) -> None:
    node("HELLO", 3)
    assert node("CONFIG", "GET", "port") == {b"port": b"6379"}


def test_set_changes_several_at_once(node: InProcessNode) -> None:
    assert node("CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru") == b"OK"
    assert pairs(node("CONFIG", "GET", "maxmemory", "maxmemory-policy")) == {
        b"maxmemory": b"1073741824", b"maxmemory-policy": b"allkeys-lru",
    }


def test_set_is_all_or_none(node: InProcessNode) -> None:
    assert node.error("CONFIG", "SET", "timeout", "9", "hz", "many").startswith("ERR CONFIG SET failed")
    assert node.error("CONFIG", "SET", "timeout", "9", "no-such-directive", "1").startswith("ERR Unknown option")
    assert node("CONFIG", "GET", "timeout") == [b"timeout", b"0"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("databases", "4"), "ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable"),
        (("dir", "/"), "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config"),
        (("hz", "5", "hz", "6"), "ERR CONFIG SET failed (possibly related to argument 'hz') - duplicate parameter"),
        (("maxmemory",), "ERR wrong number of arguments for 'config|set' command"),
        (("maxmemory", "1", "hz"), "ERR syntax error"),
    ],
)
def test_what_set_refuses(node: InProcessNode, change: tuple[str, ...], error: str) -> None:
    assert node.error("CONFIG", "SET", *change).startswith(error)


def test_protected_directives_may_be_set_where_that_is_enabled(tmp_path: Path) -> None:
    for enabled, allowed in (("yes", True), ("local", True), ("no", False)):
        node = InProcessNode(("enable-protected-configs", enabled))
        reply = str(node("CONFIG", "SET", "dbfilename", "other.rdb"))
        assert ("can't set protected config" not in reply) is allowed
    distant = InProcessNode(("enable-protected-configs", "local"))
    distant.client.session.address = "10.1.2.3:4"
    assert "can't set protected config" in distant.error("CONFIG", "SET", "dbfilename", "other.rdb")


def test_an_encoding_threshold_holds_at_once(node: InProcessNode) -> None:
    node("CONFIG", "SET", "list-max-listpack-size", "2")
    node("RPUSH", "list", "a", "b", "c")
    assert node("OBJECT", "ENCODING", "list") == b"quicklist"


def test_resetstat(node: InProcessNode) -> None:
    node("GET", "missing")
    node("NONSENSE")
    assert node("CONFIG", "RESETSTAT") == b"OK"
    text = node("INFO", "stats", "errorstats", "commandstats").decode()
    assert "keyspace_misses:0\r\n" in text
    assert "total_error_replies:0\r\n" in text
    assert "errorstat_" not in text
    assert "cmdstat_get" not in text


def test_rewrite_keeps_what_was_set(tmp_path: Path) -> None:
    node = WholeNode(tmp_path)
    assert node.error("CONFIG", "REWRITE") == "ERR The server is running without a config file"
    path = tmp_path / "node.conf"
    path.write_text("# mine\nmaxmemory 1mb\n")
    node.server.config.file_path = str(path)
    node("CONFIG", "SET", "maxmemory", "2mb")
    assert node("CONFIG", "REWRITE") == b"OK"
    assert path.read_text().startswith("# mine\nmaxmemory 2mb\n")
