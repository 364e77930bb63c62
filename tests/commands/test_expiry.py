"""Deadlines: EXPIRE and its conditions, what is told of them, and what replicas are told."""

from __future__ import annotations

import pytest

from tests.commands.in_process import START_MS, InProcessNode


@pytest.mark.parametrize(
    ("command", "left"),
    [("EXPIRE a 10", 10_000), ("PEXPIRE a 10", 10), (f"EXPIREAT a {START_MS // 1000 + 10}", 10_000),
     (f"PEXPIREAT a {START_MS + 10}", 10)],
)
def test_the_four_ways(node: InProcessNode, command: str, left: int) -> None:
    node("SET", "a", "1")
    assert node.journaled(*command.split()) == [[b"PEXPIREAT", b"a", b"%d" % (START_MS + left)]]
    assert node("PTTL", "a") == left
    assert node("PEXPIRETIME", "a") == START_MS + left


@pytest.mark.parametrize(
    ("current", "options", "done"),
    [
        (None, "NX", 1), (100, "NX", 0), (None, "XX", 0), (100, "XX", 1), (None, "GT", 0), (100, "GT", 1),
        (300, "GT", 0), (None, "LT", 1), (100, "LT", 0), (300, "LT", 1), (300, "XX LT", 1), (None, "XX LT", 0),
    ],
)
def test_conditions(node: InProcessNode, current: int | None, options: str, done: int) -> None:
    node("SET", "a", "1")
    if current is not None:
        node("EXPIRE", "a", current)
    assert node("EXPIRE", "a", 200, *options.split()) == done
    assert node("TTL", "a") == (200 if done else current or -1)


def test_a_deadline_in_the_past_deletes(node: InProcessNode) -> None:
    node("SET", "a", "1")
    assert node.journaled("EXPIRE", "a", -1) == [[b"DEL", b"a"]]
    assert node("TTL", "a") == -2


def test_a_primary_s_word_is_not_second_guessed(node: InProcessNode) -> None:
    node("SET", "a", "1")
    node.client.session.is_primary_link = True
    node.client.session.refresh()
    node("PEXPIREAT", "a", START_MS - 1)
    node.client.session.is_primary_link = False
    node.client.session.refresh()
    assert node.server.databases[0].get(b"a") == b"1"
    assert node("GET", "a") is None


def test_persist(node: InProcessNode) -> None:
    node("SET", "a", "1", "EX", 10)
    assert node("PERSIST", "a") == 1
    assert node("PERSIST", "a") == 0
    assert node("TTL", "a") == -1


def test_errors(node: InProcessNode) -> None:
    assert node.error("EXPIRE", "a", 2**62) == "ERR invalid expire time in 'expire' command"
    assert node.error("EXPIRE", "a", 1, "XY") == "ERR Unsupported option XY"
    assert node.error("EXPIRE", "a", 1, "NX", "GT").startswith("ERR NX and XX, GT or LT options")
    assert node.error("EXPIRE", "a", 1, "LT", "GT").startswith("ERR GT and LT options")


def test_the_time_left_is_rounded_to_seconds(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 1499)
    assert node("TTL", "a") == 1
    node("PEXPIRE", "a", 1500)
    assert node("TTL", "a") == 2


@pytest.mark.parametrize("cause", ["client", "failover", "shutdown"])
def test_while_writes_are_paused_an_expired_key_is_hidden_and_stays(node: InProcessNode, cause: str) -> None:
    node("SET", "a", "1", "PX", 100)
    node.server.pause.start(cause, START_MS + 5_000, writes_only=True)
    node.advance(101)
    node.effects.clear()
    assert [node(*command.split()) for command in ("GET a", "EXISTS a", "TTL a", "KEYS *")] == [None, 0, -2, []]
    assert (node("DBSIZE"), node.effects) == (1, [])
    node.server.pause.stop(cause)
    assert node("GET", "a") is None
    assert (node("DBSIZE"), node.effects) == (0, [[b"DEL", b"a"]])


def test_while_the_data_are_loaded_nothing_expires(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 100)
    node.advance(101)
    node.server.loading = True
    node.server.ctx.now_ms = node.now_ms
    assert node.server.ctx.exists(b"a")


@pytest.mark.parametrize("words", ["KEEPTTL", "XX KEEPTTL", "KEEPTTL GET", "NX KEEPTTL"])
def test_a_deadline_that_has_passed_is_not_kept(node: InProcessNode, words: str) -> None:
    node("SET", "a", "1", "PX", 100)
    node.advance(101)
    node("SET", "a", "2", *words.split())
    assert (node("GET", "a"), node("TTL", "a")) == ((None, -2) if "XX" in words else (b"2", -1))
