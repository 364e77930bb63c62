"""A sentinel of ours and one of Redis, over the same servers, are asked the same: every reply has the same shape.

What two sentinels cannot have in common (times, counters, their own ids) is masked; all else is compared as it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.differential.oracle import Connection
from tests.differential.resp import Reply
from tests.system.conftest import harness_of
from tests.system.sentinels import NAME, Watch

pytestmark = pytest.mark.system

_VARYING = {
    b"last-ping-sent", b"last-ok-ping-reply", b"last-ping-reply", b"info-refresh", b"role-reported-time",
    b"last-hello-message", b"slave-repl-offset", b"link-pending-commands",
}  # fmt: skip
"""Fields of instances whose values are times or change all the time."""
VARIES = Reply("$", b"<varies>")


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    harness = harness_of("ours", tmp_path_factory)
    watch = Watch(next(harness), "redis", ("ours", "redis"))
    watch.wait_found()
    yield watch
    next(harness, None)


class Both:
    """A connection to each."""

    def __init__(self, watch: Watch) -> None:
        self._masks = [(str(one.port).encode(), one.text("SENTINEL", "MYID").encode()) for one in watch.sentinels]
        self._connections = [Connection(one.port) for one in watch.sentinels]

    def __call__(self, line: str) -> tuple[Reply, Reply]:
        arguments = [word.encode() for word in re.findall(r"\"\"|\S+", line.replace("NAME", NAME))]
        arguments = [b"" if word == b'""' else word for word in arguments]
        ours, theirs = (connection(*arguments) for connection in self._connections)
        return self._masked(ours), self._masked(theirs)

    def _masked(self, reply: Reply) -> Reply:
        value = reply.value
        if isinstance(value, bytes):
            for port, run_id in self._masks:
                value = value.replace(run_id, b"<id>").replace(port, b"<port>")
            return Reply(reply.kind, re.sub(rb"\b[0-9a-f]{40}\b", b"<id>", value))
        if isinstance(value, tuple) and reply.kind == "%":
            pairs = [(key, VARIES if key.value in _VARYING else self._masked(one)) for key, one in value]
            return Reply("%", tuple(pairs))
        if isinstance(value, tuple):
            before = [None, *(one.value for one in value)]
            masked = [VARIES if before[at] in _VARYING else self._masked(one) for at, one in enumerate(value)]
            if reply.kind == "*" and value and all(isinstance(one.value, tuple) for one in value):
                masked.sort(key=str)  # instances come in any order
            return Reply(reply.kind, tuple(masked))
        return reply

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@pytest.fixture
def both(watch: Watch) -> Iterator[Both]:
    both = Both(watch)
    yield both
    both.close()


LOOKING = [
    "SENTINEL MASTERS", "SENTINEL MASTER NAME", "SENTINEL REPLICAS NAME", "SENTINEL SLAVES NAME",
    "SENTINEL SENTINELS NAME", "SENTINEL GET-MASTER-ADDR-BY-NAME NAME", "SENTINEL GET-MASTER-ADDR-BY-NAME x",
    "SENTINEL CKQUORUM NAME", "SENTINEL CKQUORUM x", "SENTINEL MASTER x", "SENTINEL REPLICAS x", "SENTINEL SENTINELS x",
    "SENTINEL MASTERS x", "SENTINEL MASTER", "SENTINEL", "SENTINEL x", "SENTINEL MYID", "SENTINEL MYID x",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *", "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 x *", "SENTINEL IS-MASTER-DOWN-BY-ADDR", "SENTINEL PENDING-SCRIPTS",
    "SENTINEL INFO-CACHE x", "SENTINEL INFO-CACHE", "SENTINEL DEBUG", "SENTINEL CONFIG GET *",
    "SENTINEL CONFIG GET RESOLVE-hostnames", "SENTINEL CONFIG GET x", "SENTINEL CONFIG GET announce-*",
    "SENTINEL CONFIG GET", "SENTINEL CONFIG x y", "SENTINEL SIMULATE-FAILURE help", "ROLE", "PING", "PING x",
    "PING x y", "INFO sentinel", "INFO nonsense", "SET a b", "CONFIG GET *", "SELECT 1", "MULTI", "MONITOR", "RESET",
    "PUBLISH a b", "PUBLISH __sentinel__:hello x", "ACL WHOAMI", "AUTH x", "AUTH default x", "CLIENT GETNAME",
    "HELLO 4",
]  # fmt: skip

CHANGING = [
    "SENTINEL SET NAME quorum 1", "SENTINEL SET NAME quorum 0", "SENTINEL SET NAME quorum x",
    "SENTINEL SET NAME quorum",
    "SENTINEL SET NAME quorum 2 down-after-milliseconds 1500", "SENTINEL SET NAME x 1", "SENTINEL SET x quorum 1",
    "SENTINEL SET NAME down-after-milliseconds -1", "SENTINEL SET NAME failover-timeout 0",
    "SENTINEL SET NAME failover-timeout 5000 parallel-syncs x", "SENTINEL SET NAME parallel-syncs 0",
    "SENTINEL SET NAME parallel-syncs -1", "SENTINEL SET NAME parallel-syncs 1",
    "SENTINEL SET NAME notification-script /bin/true", "SENTINEL SET NAME client-reconfig-script /bin/true",
    "SENTINEL SET NAME auth-user me", 'SENTINEL SET NAME auth-user ""', "SENTINEL SET NAME rename-command a b",
    'SENTINEL SET NAME rename-command a ""', "SENTINEL SET NAME rename-command a",
    "SENTINEL SET NAME rename-command b b",
    "SENTINEL SET NAME master-reboot-down-after-period 5", "SENTINEL SET NAME master-reboot-down-after-period -5",
    "SENTINEL SET NAME master-reboot-down-after-period 0", "SENTINEL MONITOR NAME 127.0.0.1 1 1",
    "SENTINEL MONITOR m nowhere.invalid 1 1", "SENTINEL MONITOR m 127.0.0.1 70000 1",
    "SENTINEL MONITOR m 127.0.0.1 x 1",
    "SENTINEL MONITOR m 127.0.0.1 1 0", "SENTINEL MONITOR m 127.0.0.1 1 x", "SENTINEL MONITOR m 127.0.0.1 1 1",
    "SENTINEL MASTER m", "SENTINEL FAILOVER m", "SENTINEL FAILOVER x", "SENTINEL RESET m", "SENTINEL RESET x*",
    "SENTINEL REMOVE m", "SENTINEL REMOVE m", "SENTINEL CONFIG SET x 1", "SENTINEL CONFIG SET announce-port x",
    "SENTINEL CONFIG SET announce-port 0", "SENTINEL CONFIG SET announce-port 70000",
    "SENTINEL CONFIG SET resolve-hostnames maybe", "SENTINEL CONFIG SET resolve-hostnames no",
    "SENTINEL CONFIG SET sentinel-user x y", "SENTINEL DEBUG x", "SENTINEL DEBUG info-period", "SENTINEL DEBUG x 1",
    "SENTINEL DEBUG info-period x", "SENTINEL DEBUG info-period 0", "SENTINEL DEBUG info-period 1000 ask-period 200",
    "SENTINEL FLUSHCONFIG", "SENTINEL SIMULATE-FAILURE x", "SENTINEL SIMULATE-FAILURE crash-after-election",
    "INFO sentinel", "SENTINEL SIMULATE-FAILURE crash-after-election x", "INFO sentinel", "SHUTDOWN x",
    "SHUTDOWN save nosave", "SHUTDOWN abort",
]  # fmt: skip


def differing(both: Both, lines: list[str]) -> list[str]:
    asked = [(line, *both(line)) for line in lines]
    return [f"{line}\n  {ours}\n  {theirs}" for line, ours, theirs in asked if ours != theirs]


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_what_is_shown(both: Both, protocol: str) -> None:
    both(f"HELLO {protocol}")
    different = differing(both, LOOKING)
    assert not different, "\n".join(different)


def test_what_is_changed(both: Both) -> None:
    different = differing(both, CHANGING)
    assert not different, "\n".join(different)


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_hello_names_a_sentinel_and_no_role(both: Both, protocol: str) -> None:
    ours, theirs = (re.sub(r"b'[\d.]+'", "<number>", str(one)) for one in both(f"HELLO {protocol}"))
    assert ours == theirs
    assert "sentinel" in ours


def test_help_names_every_subcommand(both: Both) -> None:
    def named(reply: Reply) -> set[str]:
        assert isinstance(reply.value, tuple)
        lines = [line.value.decode() for line in reply.value]
        return {line.split(" ")[0] for line in lines if not line.startswith(" ")}

    ours, theirs = map(named, both("SENTINEL HELP"))
    assert ours == theirs
