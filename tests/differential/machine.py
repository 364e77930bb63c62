"""The machine: the same commands to both servers, step by step, the replies and finally the data compared."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cluster.keyspace.digest import dataset_digest
from tests.commands.in_process import Client, InProcessNode
from tests.differential.comparison import same
from tests.differential.grammar import Command, Commands
from tests.differential.oracle import Oracle
from tests.differential.resp import Reply, decode, decode_all

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "25"))
STEPS = 30
DIRECTIVES = [("databases", "2"), ("proto-max-bulk-len", "1048576"), ("stream-node-max-entries", "3")]
"""Of both servers. A far offset is to be an error, and not half a gigabyte of zeros; and streams are to have nodes."""


class Pair:
    """A redis-server and a node in this process. Making them takes a while, so one pair serves many runs."""

    def __init__(self, directory: Path, *directives: tuple[str, str], program: str | None = None) -> None:
        self.node = InProcessNode(*directives)
        self.client: Client = self.node.client
        options = [word for name, value in directives for word in (f"--{name}", value)]
        self.oracle = Oracle(directory, *options, program=program)

    def begin(self, resp: int) -> None:
        """Both empty, and a new connection's state on either side."""
        self.both([b"RESET"])
        self.both([b"HELLO", b"%d" % resp])
        self.oracle(b"FLUSHALL")
        for db in self.node.server.databases:
            for slot, space in enumerate(db.spaces):
                if space:
                    db.clear_slot(slot)

    def both(self, command: Command) -> tuple[Reply, Reply]:
        self.node.now_ms = time.time_ns() // 1_000_000
        ours, _ = decode(self.client.raw(*command))
        return ours, self.oracle(*command)

    def both_at_once(self, commands: list[Command]) -> tuple[list[Reply], list[Reply]]:
        self.node.now_ms = time.time_ns() // 1_000_000
        return decode_all(self.client.chunk(*commands)), self.oracle.chunk(*commands)

    def check_data(self) -> None:
        """Same keys, types, values, and the same keys with a deadline."""
        theirs = self.oracle(b"DEBUG", b"DIGEST").value
        assert dataset_digest(self.node.server.databases).hex().encode() == theirs, "the data differs"


def run(
    pair: Pair, grammar: Commands, resp: int, examples: int = EXAMPLES, first: Sequence[Command] = ()
) -> None:
    """Let hypothesis look for a sequence of commands, behind the `first` ones, that the two answer differently."""

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            pair.begin(resp)
            for command in first:
                pair.both(command)

        @rule(commands=st.lists(grammar, min_size=1, max_size=4))
        def send(self, commands: list[Command]) -> None:
            for command in commands:
                ours, theirs = pair.both(command)
                assert same(command, ours, theirs), f"{command}: ours {ours}, redis-server's {theirs}"

        @rule(commands=st.lists(grammar, min_size=2, max_size=4))
        def send_in_one_piece(self, commands: list[Command]) -> None:
            replies = zip(commands, *pair.both_at_once(commands), strict=True)
            for command, ours, theirs in replies:
                assert same(command, ours, theirs), f"{command} of {commands}: ours {ours}, redis-server's {theirs}"

        def teardown(self) -> None:
            pair.check_data()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
