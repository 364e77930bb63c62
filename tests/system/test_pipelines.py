"""Clients that ask for more than they read: the others are served, and what is read at last is right."""

from __future__ import annotations

import pytest

from tests.system.harness import Harness

pytestmark = pytest.mark.system

VALUE = "v" * 60_000
COUNT = 1_000
LARGE = 20_000_000


def test_replies_that_nobody_reads_hold_up_nobody(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    with server.client() as greedy, server.client() as other:
        other.call("SET", "value", VALUE)
        for _ in range(COUNT):
            greedy.send("GET", "value")
        for number in range(1, COUNT):
            assert other.call("INCR", "n") == number
        greedy.send("INCR", "n")
        assert all(greedy.receive() == VALUE for _ in range(COUNT))
        assert greedy.receive() == COUNT


def test_large_replies_arrive_whole_however_slowly_they_are_read(harness: Harness) -> None:
    server = harness.server({"cluster-enabled": "no"})
    with server.client() as client:
        client.call("SETRANGE", "large", LARGE - 3, "end")
        answers = client.pipeline(*[("PING",), ("GET", "large")] * 5, ("QUIT",))
    assert [len(str(answer)) for answer in answers] == [4, LARGE] * 5 + [2]
    assert str(answers[-2]).endswith("end")
