"""The machine: the same commands to both servers, step by step, the replies and finally the data compared.

Beside redis-server and the node stands a replica of the node: another one that is sent the node's effects, and must
hold the same in the end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from cluster.keyspace.digest import dataset_digest
from tests.commands.in_process import Client, InProcessNode
from tests.differential.comparison import is_in_7_0, same
from tests.differential.grammar import Command, Commands, keys
from tests.differential.oracle import Oracle
from tests.differential.resp import Reply, decode_all
from tests.scripting.patient import PatientClient

EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "25"))
STEPS = 30
DIRECTIVES = [("databases", "2"), ("proto-max-bulk-len", "1048576"), ("stream-node-max-entries", "3")]
"""Of both servers. A far offset is to be an error, and not half a gigabyte of zeros; and streams are to have nodes."""


class Pair:
    """A redis-server and a node in this process. Making them takes a while, so one pair serves many runs."""

    def __init__(self, directory: Path, *directives: tuple[str, str], program: str | None = None) -> None:
        self.node = InProcessNode(*directives)
        self.client: Client = PatientClient(self.node)
        self.other_client: Client = PatientClient(self.node)
        self.replica = InProcessNode(*directives)
        self.replica.client.session.is_primary_link = True
        self.replica.client.session.refresh()
        self._replica_db = 0
        self._expired: set[bytes] = set()
        options = [word for name, value in directives for word in (f"--{name}", value)]
        self.oracle = Oracle(directory, *options, program=program)
        self.other_oracle = self.oracle.another()
        # Keys whose time has come are to be there still when a command meets them.
        self.oracle(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")

    def close(self) -> None:
        self.other_oracle.close()
        self.oracle.close()

    def begin(self, resp: int) -> None:
        """Both empty, and a new connection's state on either side."""
        self.both([b"RESET"])
        self.both([b"HELLO", b"%d" % resp])
        self.both_from_others([b"RESET"])
        self.oracle(b"FLUSHALL")
        for db in self.node.server.databases:
            for slot, space in enumerate(db.spaces):
                if space:
                    db.clear_slot(slot)
        self.node.journal.clear()
        self.replica("FLUSHALL")

    def both(self, command: Command) -> tuple[Reply, Reply]:
        return self._ours(self.client, [command])[0], self.oracle(*command)

    def both_at_once(self, commands: list[Command]) -> tuple[list[Reply], list[Reply]]:
        return self._ours(self.client, commands), self.oracle.chunk(*commands)

    def both_from_others(self, command: Command) -> tuple[Reply, Reply]:
        """As `both`, over a connection of its own, which speaks RESP2."""
        return self._ours(self.other_client, [command])[0], self.other_oracle(*command)

    def _ours(self, client: Client, commands: list[Command]) -> list[Reply]:
        self.node.now_ms = time.time_ns() // 1_000_000
        replies = decode_all(client.chunk(*commands))
        self._tell_replica()
        for command in commands:
            if command[0] == b"CONFIG":
                self.replica.client.raw(*command)
        return replies

    def _tell_replica(self) -> None:
        self.replica.now_ms = self.node.now_ms
        for db, effect in self.node.journal:
            if db != self._replica_db:
                self.replica("SELECT", db)
                self._replica_db = db
            self.replica.client.raw(*effect)
        self.node.journal.clear()

    def let_expire(self, key: bytes) -> None:
        """`key`, if there is one in the first database, is past its deadline when this returns."""
        if {reply.value for reply in self.both_from_others([b"PEXPIRE", key, b"1"])} == {b"0"}:
            return
        self._expired.add(key)
        until = time.time_ns() // 1_000_000 + 2
        while time.time_ns() // 1_000_000 < until:
            pass  # two milliseconds: a sleep would take longer

    def check_data(self) -> None:
        """Same keys, types, values, and the same keys with a deadline; the node's replica included."""
        for index in range(len(self.node.server.databases)):
            self.both_from_others([b"SELECT", b"%d" % index])
            for key in self._keys():
                self.both_from_others([b"EXISTS", key])  # what has expired goes now, if it has not yet
        self.both_from_others([b"SELECT", b"0"])
        ours = dataset_digest(self.node.server.databases)
        assert ours.hex().encode() == self.oracle(b"DEBUG", b"DIGEST").value, "the data differs"
        assert dataset_digest(self.replica.server.databases) == ours, "the replica's data differ"

    def _keys(self) -> list[bytes]:
        ours = {key for db in self.node.server.databases for space in db.spaces for key in space}
        theirs = self.other_oracle(b"KEYS", b"*").value
        assert isinstance(theirs, tuple)
        return sorted(ours | {one.value for one in theirs} | self._expired)


def compare(command: Command, ours: Reply, theirs: Reply) -> None:
    assert same(command, ours, theirs), f"{command}: ours {ours}, redis-server's {theirs}"


def compare_queued(commands: list[Command], ours: Reply, theirs: Reply) -> None:
    """What EXEC answers."""
    if isinstance(ours.value, tuple) and isinstance(theirs.value, tuple) and ours.kind == theirs.kind:
        for command, our_reply, their_reply in zip(commands, ours.value, theirs.value, strict=True):
            compare(command, our_reply, their_reply)
    else:
        assert ours == theirs, f"EXEC of {commands}: ours {ours}, redis-server's {theirs}"


def _nameless(grammar: Commands) -> Commands:
    """The same grammar, in whose name nobody spells out all of its commands."""

    @st.composite
    def commands(draw: st.DrawFn) -> Command:
        return draw(grammar)

    return commands()


def _machine(
    pair: Pair, resp: int, first: Sequence[Command], grammar: Commands, queued: Commands | None,
    from_others: Commands | None,
) -> type[RuleBasedStateMachine]:  # fmt: skip
    """What `run` runs."""
    has_queued = queued is None or not queued.is_empty
    own = _nameless(grammar)
    within = own if queued is None else _nameless(queued)
    meanwhile = own if from_others is None else _nameless(from_others)

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            pair.begin(resp)
            for command in first:
                pair.both(command)

        @rule(commands=st.lists(own, min_size=1, max_size=4))
        def send(self, commands: list[Command]) -> None:
            for command in commands:
                compare(command, *pair.both(command))

        @rule(commands=st.lists(own, min_size=2, max_size=4))
        def send_in_one_piece(self, commands: list[Command]) -> None:
            for command, ours, theirs in zip(commands, *pair.both_at_once(commands), strict=True):
                compare(command, ours, theirs)

        @precondition(lambda _: has_queued)
        @rule(commands=st.lists(within.filter(is_in_7_0), min_size=1, max_size=3))
        def send_as_transaction(self, commands: list[Command]) -> None:
            ours, theirs = pair.both_at_once([[b"MULTI"], *commands, [b"EXEC"]])
            assert ours[:-1] == theirs[:-1], f"{commands}: ours {ours}, redis-server's {theirs}"
            compare_queued(commands, ours[-1], theirs[-1])

        @rule(command=meanwhile)
        def send_from_another_client(self, command: Command) -> None:
            compare(command, *pair.both_from_others(command))

        @rule(key=keys)
        def let_expire(self, key: bytes) -> None:
            pair.let_expire(key)

        def teardown(self) -> None:
            pair.both([b"RESET"])
            pair.check_data()

    return Machine


def run(
    pair: Pair, grammar: Commands, resp: int, examples: int = EXAMPLES, first: Sequence[Command] = (), *,
    queued: Commands | None = None, from_others: Commands | None = None,
) -> None:  # fmt: skip
    """Let hypothesis look for a sequence of commands, behind the `first` ones, that the two answer differently.

    queued: what is sent within MULTI and EXEC, where nothing waits, if not `grammar`; `st.nothing()` for none.
    from_others: what another client sends meanwhile, if not `grammar`.
    """
    run_state_machine_as_test(
        _machine(pair, resp, first, grammar, queued, from_others),
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
