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


def test_errors(node: InProcessNode) -> None:
    assert node.error("SCAN", "x") == "ERR invalid cursor"
    assert node.error("SCAN", 0, "COUNT", 0) == "ERR syntax error"
    assert node.error("SCAN", 0, "COUNT", "x") == "ERR value is not an integer or out of range"
    assert node.error("SCAN", 0, "MATCH") == "ERR syntax error"
    assert node.error("SCAN", 0, "NOVALUES", 1) == "ERR syntax error"
