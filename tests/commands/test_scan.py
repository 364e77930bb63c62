"""SCAN and KEYS."""

from __future__ import annotations

from tests.commands.in_process import InProcessNode


def scan(node: InProcessNode, *options: str | int) -> list[bytes]:
    cursor, seen = b"0", []
    while True:
        cursor, found = node("SCAN", cursor, *options)
        seen += found
        if cursor == b"0":
            return seen


def test_filters(node: InProcessNode) -> None:
    for number in range(300):
        node("SET", f"key:{number}", "x")
        node("SET", f"{{tag}}{number}", "x")
    node("SADD", "a set", "x")
    assert len(scan(node)) == 601
    assert len(scan(node, "MATCH", "{tag}*", "COUNT", 7)) == 300
    assert scan(node, "TYPE", "SET") == [b"a set"]
    assert sorted(scan(node, "MATCH", "key:1?")) == sorted(b"key:1%d" % last for last in range(10))
    assert len(node("KEYS", "*1*")) == len(scan(node, "MATCH", "*1*"))


def test_expired_keys_are_left_out(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 1)
    node("SET", "b", "1")
    node.advance(5)
    assert node("KEYS", "*") == [b"b"]
    assert node("SCAN", 0) == [b"0", [b"b"]]


def test_cursors_that_nobody_was_given(node: InProcessNode) -> None:
    node("SET", "a", "1")
    for cursor in ("-1", 2**64 - 1, -(2**64) + 1, 2**63, 2**31, "+7", "0" * 5000 + "7"):
        reply, found = node("SCAN", cursor)
        assert reply == b"0"
        assert found in ([], [b"a"])
    for cursor in (2**64, -(2**64), "9" * 5000, "1x", " 1", "-"):
        assert node.error("SCAN", cursor) == "ERR invalid cursor"


def test_errors(node: InProcessNode) -> None:
    assert node.error("SCAN", "x") == "ERR invalid cursor"
    assert node.error("SCAN", 0, "COUNT", 0) == "ERR syntax error"
    assert node.error("SCAN", 0, "COUNT", "x") == "ERR value is not an integer or out of range"
    assert node.error("SCAN", 0, "MATCH") == "ERR syntax error"
    assert node.error("SCAN", 0, "NOVALUES", 1) == "ERR NOVALUES option can only be used in HSCAN"
