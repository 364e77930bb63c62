"""Random commands, logged and loaded: what comes back from the append-only file is what was there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.keyspace.digest import dataset_digest
from cluster.persistence.aof_commands import write_commands
from cluster.persistence.aof_reader import AofReader
from cluster.persistence.aof_replay import Replay
from tests.commands.whole import WholeNode
from tests.differential.grammar import Command
from tests.differential.grammar_hash_deadlines import HASH_DEADLINES
from tests.differential.test_against_redis import ANYTHING
from tests.persistence.aof_node import Node

DIRECTIVES = (("databases", "2"), ("proto-max-bulk-len", "1048576"), ("stream-node-max-entries", "3"))
ANY = ANYTHING | HASH_DEADLINES
PIECES = st.lists(
    st.tuples(st.lists(ANY, min_size=1, max_size=4), st.booleans(), st.sampled_from([0, 0, 0, 1, 1000])),
    min_size=5, max_size=25,
)  # fmt: skip


def as_of_now(node: WholeNode) -> bytes:
    """Of what has not expired."""
    for db in node.server.databases:
        node("SELECT", db.index)
        for key in sorted(db.keys()):
            node.client.raw("EXISTS", key)
            node.client.raw("HLEN", key)
    node.end_batch()
    return dataset_digest(node.server.databases)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=25)
@given(PIECES)
def test_what_is_loaded_is_what_was_there(pieces: list[tuple[list[Command], bool, int]]) -> None:
    """`pieces`: commands of a client that come in one piece, whether as a transaction, and the time until the next."""
    with tempfile.TemporaryDirectory() as name:
        node = Node(Path(name), *DIRECTIVES)
        for commands, together, milliseconds in pieces:
            node.client.chunk(*([[b"MULTI"], *commands, [b"EXEC"]] if together else commands))
            if node.client.session.wait is not None or node.client.session.transaction is not None:
                node.client.chunk([b"RESET"])
            node.advance(milliseconds)
        node.client.chunk([b"RESET"])
        loaded = Node(Path(name), *DIRECTIVES)
        loaded.now_ms = node.now_ms
        shown = as_of_now(node)
        assert as_of_now(loaded) == shown
        rebuilt = WholeNode(Path(name), *DIRECTIVES)
        rebuilt.now_ms = node.now_ms
        Replay(rebuilt.server, "base").run(AofReader().feed(b"".join(write_commands(node.server.databases))))
        assert as_of_now(rebuilt) == shown
