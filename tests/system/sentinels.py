"""Sentinels over a primary and its replicas, of any kinds: what the tests of failovers start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.bringup.client import ReplyError, RespClient
from tests.certificates import Certificates
from tests.system.harness import Harness, Server, ServerKind
from tests.system.waiting import wait_until

NAME = "myprimary"
PASSWORD = "123456"
DEADLINE_S = 40.0
DOWN_AFTER_MS = 1000
HURRY = ("PING-PERIOD", 400, "INFO-PERIOD", 500, "PUBLISH-PERIOD", 300, "ASK-PERIOD", 200)
"""SENTINEL DEBUG's times, so that a test need not wait for what happens every ten seconds. A replica is good whose INFO
is no older than five ping-periods; redis-sentinel asks for it once a second in a failover, whatever is set."""


class Sentinel(Server):
    """A sentinel; its directives are the lines of its file behind `port`."""

    switches = ("--sentinel",)

    def __init__(self, kind: ServerKind, directory: Path, port: int, lines: Sequence[str], password: str = "") -> None:
        super().__init__(kind, directory, port, {"requirepass": password})
        self._lines = [f"requirepass {password}", *lines] if password else lines

    def write_configuration(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        conf = self.directory / "sentinel.conf"
        if not conf.exists():
            ports = [f"port {self.port}"] if self.tls is None else ["port 0", f"tls-port {self.port}"]
            conf.write_text("\n".join([*ports, f"dir {self.directory}", *self._lines, ""]))
        return conf

    @property
    def conf(self) -> str:
        return (self.directory / "sentinel.conf").read_text()

    def facts(self) -> dict[str, str]:
        """SENTINEL MASTER."""
        flat = self.call("SENTINEL", "MASTER", NAME)
        assert isinstance(flat, list)
        return dict(zip(map(str, flat[::2]), map(str, flat[1::2]), strict=True))

    def primary_port(self) -> int:
        """Where it sends clients."""
        address = self.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        assert isinstance(address, list)
        return int(str(address[1]))


class Watch:
    """A primary with two replicas, as in a tutorial, and sentinels.

    `more`: lines of the sentinels' files; `directives`: those of the servers; `password`: the sentinels' own.
    `certificates`: all of them speak nothing but TLS.
    """

    def __init__(
        self,
        harness: Harness,
        data: ServerKind,
        sentinels: Sequence[ServerKind],
        *more: str,
        host: str = "127.0.0.1",
        directives: Mapping[str, str] | None = None,
        password: str = "",
        certificates: Certificates | None = None,
    ) -> None:
        secure = {} if certificates is None else {**certificates.directives, "tls-replication": "yes"}
        usual = {
            "cluster-enabled": "no", "requirepass": PASSWORD, "masterauth": PASSWORD, "repl-ping-replica-period": "1",
            **(directives or {}), **secure,
        }  # fmt: skip
        self.primary = harness.server(usual, kind=data, start=False)
        follow = {**usual, "replicaof": f"127.0.0.1 {self.primary.port}"}
        self.servers = [self.primary, *(harness.server(follow, kind=data, start=False) for _ in range(2))]
        lines = [
            f"sentinel monitor {NAME} {host} {self.primary.port} 2",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {NAME} 10000",
            *(more or (f"sentinel auth-pass {NAME} {PASSWORD}",)),
            *(" ".join(line) for line in secure.items()),
        ]
        self.sentinels: list[Sentinel] = []
        for kind in sentinels:
            port = harness.free_port()
            sentinel = Sentinel(kind, harness.directory / str(port), port, lines, password)
            harness.adopt(sentinel)
            self.sentinels.append(sentinel)
        everybody = [*self.servers, *self.sentinels]
        for one in everybody:
            one.tls = certificates.client if certificates is not None else None
            one.start(wait=False)
        for one in everybody:
            one.wait_answering()
        for sentinel in self.sentinels:
            sentinel.call("SENTINEL", "DEBUG", *HURRY)

    def wait_found(self) -> None:
        """Until every sentinel knows the replicas and the other sentinels, and hears of their state."""
        others = str(len(self.sentinels) - 1)

        def found() -> bool:
            facts = [sentinel.facts() for sentinel in self.sentinels]
            return all(
                one["num-slaves"] == "2" and one["num-other-sentinels"] == others for one in facts
            ) and all(self.may_fail_over(sentinel) for sentinel in self.sentinels)

        wait_until(found, DEADLINE_S, lambda: f"all found\n{self.sentinels[0].log_tail()}")

    @staticmethod
    def may_fail_over(sentinel: Sentinel) -> bool:
        """Whether the others answer, and no replica is cut off or unknown in its state."""
        try:
            sentinel.call("SENTINEL", "CKQUORUM", NAME)
        except ReplyError:
            return False
        flags = {"REPLICAS": "slave", "SENTINELS": "sentinel"}
        for which, wanted in flags.items():
            instances = sentinel.call("SENTINEL", which, NAME)
            assert isinstance(instances, list)
            facts = [dict(zip(one[::2], one[1::2], strict=True)) for one in instances]
            if any(one["flags"] != wanted or one.get("master-link-status", "ok") != "ok" for one in facts):
                return False
        return True

    def wait_moved(self) -> Server:
        """Until all sentinels send clients to another primary, which is one."""

        def moved() -> bool:
            ports = {sentinel.primary_port() for sentinel in self.sentinels}
            return len(ports) == 1 and self.primary.port not in ports

        logs = [sentinel.log_tail() for sentinel in self.sentinels]
        wait_until(moved, DEADLINE_S, lambda: "\n".join(["all moved", *logs, self.sentinels[0].log_tail()]))
        port = self.sentinels[0].primary_port()
        new = next(server for server in self.servers if server.port == port)
        assert new.info("replication")["role"] == "master"
        return new

    def wait_role(self, server: Server, primary: Server) -> None:
        """Until `server` is a replica of `primary`, in step."""

        def follows() -> bool:
            facts = server.info("replication")
            return (
                facts["role"] == "slave" and facts["master_port"] == str(primary.port)
                and facts["master_link_status"] == "up"
            )  # fmt: skip

        wait_until(follows, DEADLINE_S, lambda: f"{server} follows {primary}\n{self.sentinels[0].log_tail()}")


def listener(sentinel: Sentinel, *channels: str) -> RespClient:
    client = RespClient("127.0.0.1", sentinel.port, timeout_s=DEADLINE_S)
    client.send("SUBSCRIBE", *channels)
    for _ in channels:
        client.receive()
    return client
