"""How much a client may leave unread, by its class, and what the log says of one that left more."""

from __future__ import annotations

from cluster.network.limits import cut_off_text, output_limit
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
