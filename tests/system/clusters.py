"""A cluster of servers, as a test looks at it and acts on it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from cluster.bringup.client import RespClient
from cluster.bringup.topology import Member, disagreement, parse_nodes, spread_slots
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

AGREE_DEADLINE_S = 40.0
_CLI_DEADLINE_S = 60.0


class CliFailure(AssertionError):
    """redis-cli ended with an error."""


def redis_cli(*arguments: str | int, stdin: str = "", check: bool = True, deadline_s: float = _CLI_DEADLINE_S) -> str:
    """Run redis-cli, and return what it prints. With `check`, fails unless it ends with status 0."""
    command = ["redis-cli", *map(str, arguments)]
    try:
        run = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=deadline_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise CliFailure(f"{' '.join(command)} did not end:\n{error.stdout!r}") from None
    output = run.stdout + run.stderr
    if check and run.returncode != 0:
        raise CliFailure(f"{' '.join(command)} ended with {run.returncode}:\n{output}")
    return output


def cli_batch(server: Server, *commands: str) -> list[str]:
    """Run commands through one redis-cli -c; the lines it prints, but for those that tell of redirects."""
    lines = redis_cli("-c", "-p", server.port, stdin="".join(f"{command}\n" for command in commands)).splitlines()
    return [line for line in lines if not line.startswith("-> Redirected")]


class Cluster:
    """Servers that form a cluster; some may be down."""

    def __init__(self, harness: Harness, servers: Sequence[Server]) -> None:
        self.harness = harness
        self.servers = list(servers)

    @classmethod
    def create(
        cls, harness: Harness, size: int, replicas: int = 0, directives: Mapping[str, str] | None = None
    ) -> Cluster:
        """`size` servers made a cluster, which everybody agrees on; the first of them are its primaries."""
        return cls.formed(harness, [harness.server(directives, start=False) for _ in range(size)], replicas)

    @classmethod
    def formed(cls, harness: Harness, servers: Sequence[Server], replicas: int = 0) -> Cluster:
        """Start servers and make them a cluster, by the commands of redis-cli --cluster create. That waits for whole
        seconds, and is tried in test_cli_manager."""
        for server in servers:
            server.start(wait=False)
        for server in servers:
            server.wait_answering()
        cluster = cls(harness, servers)
        clients = [server.client() for server in servers]
        try:
            cluster._form(clients, len(servers) // (replicas + 1))
        finally:
            for client in clients:
                client.close()
        cluster.wait_whole()
        return cluster

    def _form(self, clients: Sequence[RespClient], primaries: int) -> None:
        for client, (first, last) in zip(clients, spread_slots(primaries), strict=False):
            client.call("CLUSTER", "ADDSLOTSRANGE", first, last)
        for epoch, client in enumerate(clients, start=1):
            client.call("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for server in self.servers[1:]:
            clients[0].call("CLUSTER", "MEET", server.cluster_host, server.port, server.bus_port)
        wait_until(
            lambda: all(_knows(client, len(clients)) for client in clients),
            AGREE_DEADLINE_S,
            lambda: f"all have met\n{self.all_log_tails()}",
        )
        ids = [client.text("CLUSTER", "MYID") for client in clients[:primaries]]
        for at, client in enumerate(clients[primaries:]):
            client.call("CLUSTER", "REPLICATE", ids[at % primaries])

    @property
    def running(self) -> list[Server]:
        return [server for server in self.servers if server.running]

    def view(self, server: Server) -> dict[str, Member]:
        return parse_nodes(server.text("CLUSTER", "NODES"))

    def member(self, server: Server, seen_by: Server | None = None) -> Member:
        """A server as another one sees it, or as it sees itself."""
        return next(member for member in self.view(seen_by or server).values() if member.port == server.port)

    def by_id(self, node_id: str) -> Server:
        return next(server for server in self.running if server.text("CLUSTER", "MYID") == node_id)

    def primaries(self) -> list[Server]:
        """Those that serve slots, by the view of a running server."""
        members = self.view(self.running[0]).values()
        ports = {member.port for member in members if member.is_primary and member.slots and not member.is_down}
        return [server for server in self.servers if server.port in ports]

    def replicas_of(self, primary: Server) -> list[Server]:
        members = self.view(self.running[0])
        own = next(member.node_id for member in members.values() if member.port == primary.port)
        ports = {member.port for member in members.values() if member.primary_id == own}
        return [server for server in self.servers if server.port in ports]

    def owner(self, key: str) -> Server:
        """The server that serves a key."""
        asked = self.running[0]
        slot = asked.call("CLUSTER", "KEYSLOT", key)
        assert isinstance(slot, int)
        for member in self.view(asked).values():
            if any(first <= slot <= last for first, last in member.slots):
                return next(server for server in self.servers if server.port == member.port)
        raise AssertionError(f"nobody serves slot {slot}")

    def why_not_whole(self, servers: Sequence[Server] | None = None) -> str:
        """What keeps the running servers from being one cluster in good order, or ''."""
        views = {}
        for server in self.running if servers is None else servers:
            with server.client() as client:
                views[client.text("CLUSTER", "MYID")] = parse_nodes(client.text("CLUSTER", "NODES"))
                if "cluster_state:ok" not in client.text("CLUSTER", "INFO"):
                    return f"{server} does not say cluster_state:ok"
                replication = client.text("INFO", "replication")
                if "role:slave" in replication and "master_link_status:up" not in replication:
                    return f"{server} is not in step with its primary"
        return disagreement(views)

    def wait_whole(self, deadline_s: float = AGREE_DEADLINE_S, servers: Sequence[Server] | None = None) -> None:
        """Until every running server says the same, all slots are served and replicas are in step."""
        why = "unknown"

        def whole() -> bool:
            nonlocal why
            why = "a server did not answer"
            why = self.why_not_whole(servers)
            return not why

        wait_until(whole, deadline_s, lambda: f"the cluster is whole: {why}\n{self.all_log_tails()}")

    def wait_promoted(self, replica: Server, deadline_s: float) -> float:
        """Until a replica serves its old primary's slots; the seconds it took."""

        def promoted() -> bool:
            member = self.member(replica)
            return member.is_primary and bool(member.slots)

        return wait_until(promoted, deadline_s, lambda: f"{replica} is promoted\n{self.all_log_tails()}")

    def wait_replica(self, server: Server, deadline_s: float) -> float:
        """Until a server has become a replica that is in step; the seconds it took."""

        def in_step() -> bool:
            info = server.info("replication")
            return info["role"] == "slave" and info["master_link_status"] == "up"

        return wait_until(in_step, deadline_s, lambda: f"{server} is a replica in step\n{server.log_tail()}")

    def all_log_tails(self) -> str:
        return "\n".join(server.log_tail(8) for server in self.servers)

    def cli(self, *arguments: str | int, check: bool = True, deadline_s: float = _CLI_DEADLINE_S) -> str:
        """redis-cli --cluster COMMAND with the address of a running server where `@` stands."""
        address = self.running[0].address
        words = [address if word == "@" else word for word in arguments]
        return redis_cli("--cluster", *words, check=check, deadline_s=deadline_s)

    def total_keys(self) -> int:
        """Keys on all primaries, each counted once."""
        total = 0
        for server in self.primaries():
            count = server.call("DBSIZE")
            assert isinstance(count, int)
            total += count
        return total

    def get(self, key: str) -> object:
        """A key's value from its owner, following no redirect."""
        return self.owner(key).call("GET", key)


def _knows(client: RespClient, count: int) -> bool:
    members = parse_nodes(client.text("CLUSTER", "NODES")).values()
    return len(members) == count and not any("handshake" in member.flags for member in members)
