"""What CLUSTER tells of a cluster, beside a redis-server that has read the same nodes.conf.

Ports are the servers' own, so they are put out of sight, and lists that redis-server keeps in no order are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.whole import WholeNode
from tests.differential.oracle import Oracle, free_port
from tests.differential.resp import Reply, decode

ME, SECOND, FIRST_REPLICA, SECOND_REPLICA, FAILED = ("1" * 40, "2" * 40, "3" * 40, "4" * 40, "5" * 40)
NODES_CONF = f"""\
{ME} :0@0,one.example myself,master - 0 0 3 connected 0-5460 [6000-<-{SECOND}] [5->-{SECOND}]
{SECOND} 127.255.255.1:7001@17001,two.example master - 0 1700000000000 4 connected 5461-10921 10925
{FIRST_REPLICA} 127.255.255.2:7002@17002 slave {ME} 0 1700000000000 3 connected
{SECOND_REPLICA} 127.255.255.3:7003@17003 slave,fail {SECOND} 1700000000000 1700000000000 4 connected
{FAILED} 127.255.255.4:7004@17004 master,fail,nofailover - 1700000000000 1700000000000 5 connected 10922-10924 16383
vars currentEpoch 9 lastVoteEpoch 7
"""
"""A replica of each kind: one in good health, that has not said yet how much data it has, and one that failed. All have
addresses of this machine, since redis-server calls them: a test sends nothing elsewhere."""


class Views:
    """The two, asked the same; node timeouts are so long that nothing changes while they are."""

    def __init__(self, directory: Path, preferred: str) -> None:
        (directory / "nodes.conf").write_text(NODES_CONF)
        options = {
            "cluster-enabled": "yes", "cluster-node-timeout": "1000000", "cluster-preferred-endpoint-type": preferred,
            "cluster-announce-hostname": "one.example", "cluster-announce-ip": "127.255.255.0",
        }
        self.node = WholeNode(directory, *options.items(), nodes_conf=NODES_CONF)
        bus_port = free_port()
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.oracle = Oracle(directory, *words, "--cluster-port", str(bus_port))
        self.ports = {b"%d" % self.oracle.port: b"6379", b"%d" % bus_port: b"16379"}

    def both(self, *command: bytes) -> tuple[object, object]:
        ours, _ = decode(self.node.client.raw(*command))
        return self._plain(ours), self._plain(self.oracle(*command))

    def _plain(self, reply: Reply) -> object:
        """Text by lines, lists sorted, ports replaced, times gone."""
        value = reply.value
        if isinstance(value, tuple):
            pairs = reply.kind == "%"
            items = [tuple(map(self._plain, pair)) for pair in value] if pairs else list(map(self._plain, value))
            return reply.kind, sorted(items, key=repr)
        if isinstance(value, bytes) and b"@" in value:
            return reply.kind, sorted(self._line(line) for line in value.removeprefix(b"txt:").splitlines())
        return reply.kind, self.ports.get(value, value) if isinstance(value, bytes) else value

    def _line(self, line: bytes) -> bytes:
        for theirs, ours in self.ports.items():
            line = line.replace(b":%b@" % theirs, b":%b@" % ours).replace(b"@%b," % theirs, b"@%b," % ours)
        words = line.split(b" ")
        if len(words) > 7:
            words[4:6] = [b"ping", b"pong"]
        return b" ".join(words)

    def close(self) -> None:
        self.oracle.close()


@pytest.fixture(scope="module", params=["ip", "hostname", "unknown-endpoint"])
def views(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Views]:
    found = Views(tmp_path_factory.mktemp("views"), request.param)
    yield found
    found.close()


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize(
    "line",
    [
        "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER MYID",
        f"CLUSTER REPLICAS {ME}", f"CLUSTER REPLICAS {SECOND}", f"CLUSTER SLAVES {FAILED}",
        f"CLUSTER REPLICAS {FIRST_REPLICA}", f"CLUSTER COUNT-FAILURE-REPORTS {SECOND}",
        "CLUSTER KEYSLOT {a}b", "CLUSTER COUNTKEYSINSLOT 0", "CLUSTER GETKEYSINSLOT 0 10",
        f"CLUSTER FORGET {ME}", f"CLUSTER REPLICATE {ME}", f"CLUSTER REPLICATE {FIRST_REPLICA}",
        f"CLUSTER REPLICATE {SECOND}", "CLUSTER SET-CONFIG-EPOCH 20", "CLUSTER ADDSLOTS 5461 5461",
        "CLUSTER ADDSLOTS 11000 11000 5461", "CLUSTER ADDSLOTSRANGE 11000 11001 11001 11002",
        "CLUSTER DELSLOTS 11000", "CLUSTER DELSLOTS 0 0 11000",
        f"CLUSTER SETSLOT 0 IMPORTING {SECOND}", f"CLUSTER SETSLOT 5461 MIGRATING {SECOND}",
        f"CLUSTER SETSLOT 0 MIGRATING {FIRST_REPLICA}", f"CLUSTER SETSLOT 0 NODE {FIRST_REPLICA}",
        f"CLUSTER SETSLOT 5461 IMPORTING {FIRST_REPLICA}", "CLUSTER FAILOVER", "CLUSTER FAILOVER TAKEOVER",
    ],
)  # fmt: skip
def test_views_and_refusals(views: Views, line: str, resp: int) -> None:
    views.both(b"HELLO", b"%d" % resp)
    ours, theirs = views.both(*line.encode().split())
    assert ours == theirs
