"""How much a client may leave unread, by its class, and what the log says of one that left more."""

from __future__ import annotations

import pytest

from cluster.network.limits import BEFORE_LOGIN_BYTES, cut_off_text, output_limit
from cluster.network.session import Session
from tests.commands.in_process import InProcessNode


def test_a_replica_may_always_lag_by_the_backlog() -> None:
    """Cut off below it, it would come again and be sent just as much."""
    node = InProcessNode(("repl-backlog-size", "1mb"), ("client-output-buffer-limit", "replica 1000 0 0"))
    config = node.server.config
    client = node.client.session
    assert output_limit(config, client) == (0, 0, 0)
    client.is_replica_link = True
    assert output_limit(config, client) == (1 << 20, 0, 0), "0 is no limit, and stays so"
    node("CONFIG", "SET", "client-output-buffer-limit", "replica 4mb 2mb 60")
    assert output_limit(config, client) == (4 << 20, 2 << 20, 60)


def test_the_log_tells_what_helps_a_replica_that_was_cut_off() -> None:
    node = InProcessNode()
    client = node.client.session
    assert "repl-backlog-size" not in cut_off_text(node.server.config, client, 5000)
    client.is_replica_link = True
    text = cut_off_text(node.server.config, client, 5000)
    for word in ("5000 bytes", "repl-backlog-size (1048576)", "client-output-buffer-limit replica"):
        assert word in text


def test_before_login_hardly_anything_may_be_left_unread() -> None:
    """Else whoever can connect can fill the memory with answers that it does not read."""
    node = InProcessNode(("requirepass", "secret"))
    client = node.connect().session
    assert output_limit(node.server.config, client) == (BEFORE_LOGIN_BYTES, 0, 0)
    client.receive(b"AUTH secret\r\n")
    assert output_limit(node.server.config, client) == (0, 0, 0)


@pytest.mark.parametrize("before", [b"BLPOP nothing 0\r\n", b"MULTI\r\n", b"*2\r\n$3\r\nGET\r\n$900000\r\n"])
def test_what_comes_in_small_pieces_and_cannot_be_run_counts_as_well(before: bytes) -> None:
    node = InProcessNode(("client-query-buffer-limit", "1mb"))
    client = node.connect().session
    cut_off: list[Session] = []
    node.server.shell.hang_up = cut_off.append
    piece = b"SET k " + b"x" * 1000 + b"\r\n" if before.startswith(b"MULTI") else b"x" * 1000
    client.receive(before)
    for _ in range(900 if before.startswith(b"*") else 1100):
        client.receive(piece)
    assert bool(cut_off) is not before.startswith(b"*"), "what completes a command within the limit is no offence"
