"""KEEPREF, DELREF and ACKED where redis-server 8.2.3 cannot be asked: with `~` it trims nothing then."""

from __future__ import annotations

import pytest

from tests.commands.in_process import InProcessNode


@pytest.fixture
def node() -> InProcessNode:
    """A stream in three blocks, 1 to 8; `g` was given 1 to 6, and 2 is pending with it."""
    node = InProcessNode(("stream-node-max-entries", "3"))
    for number in range(1, 9):
        node("XADD", "s", number, "f", "v")
    node("XGROUP", "CREATE", "s", "g", 0)
    node("XREADGROUP", "GROUP", "g", "c", "COUNT", 6, "STREAMS", "s", ">")
    node("XACK", "s", "g", 1, 3, 4, 5, 6)
    return node


def left(node: InProcessNode) -> str:
    return " ".join(entry[0].decode().partition("-")[0] for entry in node("XRANGE", "s", "-", "+"))


@pytest.mark.parametrize(("words", "expected", "pending", "effect"), [
    ("MAXLEN ~ 1 DELREF", "7 8", 0, "MAXLEN = 2 DELREF"), ("MAXLEN ~ 5 DELREF", "4 5 6 7 8", 0, "MAXLEN = 5 DELREF"),
    ("MINID ~ 6 DELREF", "4 5 6 7 8", 0, "MINID = 4-0 DELREF"), ("MAXLEN ~ 1 KEEPREF", "7 8", 1, "MAXLEN = 2 KEEPREF"),
    ("MAXLEN ~ 1 ACKED", "2 7 8", 1, "MAXLEN = 3 ACKED"), ("MINID ~ 6 ACKED", "2 6 7 8", 1, "MINID = 5-1 ACKED"),
    ("MAXLEN ~ 1 LIMIT 2 ACKED", "2 4 5 6 7 8", 1, "MAXLEN = 6 LIMIT 2 ACKED"),
    ("ACKED MINID ~ 6 LIMIT 2", "2 4 5 6 7 8", 1, "ACKED MINID = 3-1 LIMIT 2"),
])  # fmt: skip
def test_trimming_about(node: InProcessNode, words: str, expected: str, pending: int, effect: str) -> None:
    assert node.journaled("XTRIM", "s", *words.split()) == [[b"XTRIM", b"s", *effect.encode().split()]]
    assert left(node) == expected
    assert node("XPENDING", "s", "g")[0] == pending


def test_an_effect_of_a_trimming_trims_the_same_again(node: InProcessNode) -> None:
    replica = InProcessNode(("stream-node-max-entries", "100"))
    replica.client.session.is_primary_link = True
    replica.client.session.refresh()
    for words in ("XADD s ACKED MAXLEN ~ 3 9 f v", "XADD s MINID ~ 8 DELREF 10 f v", "XTRIM s ACKED MAXLEN ~ 1"):
        node(*words.split())
    for effect in node.effects:
        replica.client.raw(*effect)
    other = replica.connect()
    assert other("XRANGE", "s", "-", "+") == node("XRANGE", "s", "-", "+")
    assert other("XPENDING", "s", "g") == node("XPENDING", "s", "g")
