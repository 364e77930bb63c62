"""Keyspace events: random commands set off the same events here and in redis-server, in the same order."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cluster.protocol.replies import request
from tests.commands.in_process import Client
from tests.differential.conversations import received
from tests.differential.grammar import Command, Commands
from tests.differential.machine import DIRECTIVES, EXAMPLES, STEPS, Pair
from tests.differential.resp import decode_all
from tests.differential.test_against_redis import GRAMMARS

EVERYTHING = "KEAn"
LISTEN = [b"PSUBSCRIBE", b"__key*__:*"]


class Listeners:
    """A client of each server that hears all events."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.ours = Client(pair.node)
        self.theirs = socket.create_connection(("127.0.0.1", pair.oracle.port))
        self.ours.raw(*LISTEN)
        self.theirs.sendall(request(LISTEN))
        while not received(self.theirs):
            pair.oracle(b"PING")

    def heard(self) -> tuple[list[object], list[object]]:
        """What came since: ours, redis-server's."""
        self.pair.oracle(b"PING")  # what the last command led to has been sent by then
        return _events(self.ours.received()), _events(received(self.theirs))


NEW_CONSUMER = b"xgroup-createconsumer"
"""7.2 makes a consumer when it first asks, 7.0 when it first gets something."""


def _events(data: bytes) -> list[object]:
    """(channel, message) of each."""
    heard = [(reply.value[2].value, reply.value[3].value) for reply in decode_all(data)]  # type: ignore[index]
    return [one for one in heard if NEW_CONSUMER not in one[0] + one[1]]


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    pair = Pair(tmp_path_factory.mktemp("events"), *DIRECTIVES, ("notify-keyspace-events", EVERYTHING))
    pair.node.server.key_events.configure()
    pair.oracle(b"DEBUG", b"SET-ACTIVE-EXPIRE", b"0")  # a key expires when it is asked for, on both sides
    yield Listeners(pair)
    pair.oracle.close()


@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)
def test_events_are_those_of_redis_server(listeners: Listeners, grammar: Commands) -> None:
    pair = listeners.pair

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            pair.begin(2)
            listeners.heard()

        @rule(commands=st.lists(grammar, min_size=1, max_size=4))
        def send(self, commands: list[Command]) -> None:
            for command in commands:
                pair.both(command)
                ours, theirs = listeners.heard()
                assert ours == theirs, f"{command}: ours {ours}, redis-server's {theirs}"

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
