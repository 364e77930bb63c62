"""What a sentinel says to whom: log in, where a name is now, the end of a script; and what it writes meanwhile."""

from __future__ import annotations

import random

import pytest

from cluster.sentinel import conf
from cluster.sentinel.core import SentinelCore
from cluster.sentinel.events import Connect, Connected, Effect, ErrorReply, NamesFound, Received, Send, Tick, Value
from cluster.sentinel.members import add_peer, add_primary, add_replica
from cluster.sentinel.reports import take_info
from cluster.sentinel.settable import rename_command
from cluster.sentinel.state import RECONFIGURE, Address, Link, Primary, Settings
from tests.sentinel.parts import HOST, NAME, only_addresses

START_MS = 1_000_000


class Alone:
    """A core with a primary and another sentinel, which never answer but as a test has them answer."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.now = START_MS
        self.effects: list[Effect] = []
        self.core = SentinelCore("a" * 40, settings or Settings(), random.Random(1), only_addresses, self.now)
        self.primary: Primary = add_primary(self.core.state, NAME, Address(HOST, HOST, 6379), 2)
        self.peer = add_peer(self.core.state, self.primary, "b" * 40, Address(HOST, HOST, 5001))

    def tick(self, after_ms: int = 100) -> list[Connect]:
        """The connections that are asked for."""
        self.now += after_ms
        self.effects = self.core.step(self.now, Tick())
        return [one for one in self.effects if isinstance(one, Connect)]

    def sent(self, link: Link) -> list[tuple[Value, ...]]:
        """What the last step has sent over the connection for commands."""
        return [one.arguments for one in self.effects if isinstance(one, Send) and one.connection == link.commands]


@pytest.mark.parametrize(("settings", "login"), [
    (Settings(requirepass="own"), ("AUTH", "own")),
    (Settings(requirepass="own", sentinel_pass="theirs"), ("AUTH", "theirs")),
    (Settings(sentinel_pass="theirs", sentinel_user="watcher"), ("AUTH", "watcher", "theirs")),
])  # fmt: skip
def test_another_sentinel_is_logged_in_to_first_of_all(settings: Settings, login: tuple[str, ...]) -> None:
    alone = Alone(settings)
    alone.tick()
    sent = alone.sent(alone.peer.link)
    assert sent[0] == login
    assert ("PING",) in sent
    assert not [words for words in alone.sent(alone.primary.link) if words[0] == "AUTH"], "it has a password of its own"


def test_a_script_that_holds_up_a_server_which_counts_as_down_is_killed_once() -> None:
    alone = Alone()
    rename_command(alone.primary, "SCRIPT", "hidden")
    alone.tick()
    link = alone.primary.link
    assert link.commands is not None
    alone.core.step(alone.now, Connected(link.commands, HOST))
    killed = []
    for _ in range(3 * alone.primary.down_after_ms // 1000):
        alone.tick(1000)
        link.last_pong_ms = alone.now  # or the connection, over which nothing comes, would be made anew
        alone.core.state.connections[link.commands].waiting.clear()
        alone.core.state.send(alone.primary, "ping", "PING")
        alone.effects = alone.core.step(alone.now, Received(link.commands, ErrorReply("BUSY Redis is busy")))
        killed += [alone.primary.s_down] * (("hidden", "KILL") in alone.sent(link))
    assert killed == [True]


def test_a_name_is_looked_up_again_for_each_new_connection() -> None:
    names = {"db": "10.0.0.1"}
    alone = Alone()
    alone.core.state.settings.resolve_hostnames = True
    alone.core.state.resolve = lambda host: names.get(host, only_addresses(host))
    alone.primary.address = Address("db", "10.0.0.1", 6379)
    assert "10.0.0.1" in [one.ip for one in alone.tick()]
    names["db"] = "10.0.0.9"
    alone.primary.link.commands = alone.primary.link.messages = None
    dialled = [one.ip for one in alone.tick(1500) if one.port == 6379]
    assert dialled == ["10.0.0.9"] * 2
    assert alone.primary.address == Address("db", "10.0.0.9", 6379)
    del names["db"]
    alone.primary.link.commands = alone.primary.link.messages = None
    assert [one.ip for one in alone.tick(1500) if one.port == 6379] == ["10.0.0.9"] * 2, "where it was last"


def test_the_file_names_the_promoted_replica_as_soon_as_it_is_one() -> None:
    """Whoever starts again in the middle of a failover goes on with the new primary."""
    alone = Alone()
    for port in (6380, 6381):
        assert add_replica(alone.core.state, alone.primary, Address(HOST, HOST, port)) is not None
    primary = alone.primary
    primary.failing_over, primary.stage = True, RECONFIGURE
    primary.promoted = primary.replicas[f"{HOST}:6380"]
    text = conf.rewrite("", list(conf.lines(alone.core.state)))
    assert f"sentinel monitor {NAME} {HOST} 6380 2\n" in text
    known = [line for line in text.splitlines() if "known-replica" in line]
    assert known == [f"sentinel known-replica {NAME} {HOST} {port}" for port in (6379, 6381)]


def test_a_replica_that_is_named_is_found_when_its_name_has_an_address() -> None:
    names: dict[str, str] = {}
    alone = Alone()
    alone.core.state.resolve = lambda host: names.get(host, only_addresses(host))
    take_info(alone.core.state, alone.primary, b"role:master\r\nslave0:ip=replica.example,port=6380\r\n")
    assert not alone.primary.replicas
    names["replica.example"] = "10.0.0.2"
    alone.core.step(alone.now, NamesFound())
    assert list(alone.primary.replicas) == ["10.0.0.2:6380"]
