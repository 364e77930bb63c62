"""A cluster over TLS: bus, replication, redirects, slots that move, failover; and sentinels over TLS."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
import redis.asyncio

from cluster.bringup.client import ReplyError, RespClient
from tests.certificates import Certificates
from tests.system.clusters import Cluster, redis_cli
from tests.system.harness import Harness
from tests.system.sentinels import Watch
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def secure_cluster(harness: Harness, certificates: Certificates, size: int, replicas: int) -> Cluster:
    """Of nodes that speak nothing but TLS."""
    directives = {**certificates.directives, "tls-cluster": "yes", "tls-replication": "yes"}
    servers = [harness.server(directives, start=False) for _ in range(size)]
    for server in servers:
        server.tls = certificates.client
        server.start(wait=False)
    for server in servers:
        server.wait_answering()
    addresses = [server.address for server in servers]
    redis_cli(
        *certificates.cli, "--cluster", "create", *addresses, "--cluster-replicas", replicas, "--cluster-yes"
    )  # fmt: skip
    cluster = Cluster(harness, servers)
    cluster.wait_whole()
    return cluster


def test_a_cluster_over_tls(harness: Harness, certificates: Certificates) -> None:
    cluster = secure_cluster(harness, certificates, 6, 1)
    options: dict[str, Any] = {
        "host": "127.0.0.1", "port": cluster.servers[0].port, "ssl": True, "ssl_check_hostname": False,
        "ssl_ca_certs": str(certificates.authority), "ssl_certfile": str(certificates.cert),
        "ssl_keyfile": str(certificates.key),
    }  # fmt: skip
    client = redis.RedisCluster(**options)
    for number in range(100):
        client.set(f"k{number}", number)

    async def read() -> list[object]:
        async with redis.asyncio.RedisCluster(**options) as later:
            return [await later.get(f"k{number}") for number in range(100)]

    assert asyncio.run(read()) == [b"%d" % number for number in range(100)]
    with RespClient(cluster.servers[0].host, cluster.servers[0].bus_port) as stranger:
        stranger.send("PING")
        with pytest.raises(OSError, match=r"reset|closed"):
            stranger.receive()
    source, target = cluster.primaries()[:2]
    moved = redis_cli(
        *certificates.cli, "--cluster", "reshard", source.address, "--cluster-from", source.text("CLUSTER", "MYID"),
        "--cluster-to", target.text("CLUSTER", "MYID"), "--cluster-slots", 200, "--cluster-yes",
    )  # fmt: skip
    assert "Moving slot" in moved
    cluster.wait_whole()
    replica = cluster.replicas_of(source)[0]
    source.kill()
    cluster.wait_promoted(replica, DEADLINE_S)
    source.start()
    cluster.wait_replica(source, DEADLINE_S)
    cluster.wait_whole()
    assert [client.get(f"k{number}") for number in range(100)] == [b"%d" % number for number in range(100)]
    client.close()


def test_sentinels_over_tls(harness: Harness, certificates: Certificates) -> None:
    watch = Watch(harness, "ours", ["ours", "ours", "redis"], certificates=certificates)
    watch.wait_found()
    watch.primary.kill()
    new = watch.wait_moved()
    watch.primary.start()
    watch.wait_role(watch.primary, new)


def _port_of_redirect(client: RespClient, key: str) -> int:
    with pytest.raises(ReplyError) as redirect:
        client.call("GET", key)
    return int(str(redirect.value).rpartition(":")[2])


def test_clients_are_sent_to_the_port_that_they_can_speak_to(harness: Harness, certificates: Certificates) -> None:
    ports = [str(harness.free_port()) for _ in range(3)]
    servers = [harness.server({**certificates.directives, "tls-port": port}, start=False) for port in ports]
    cluster = Cluster.formed(harness, servers)
    owner = cluster.owner("k")
    other = next(server for server in servers if server is not owner)
    wanted = int(owner.directives["tls-port"])
    with RespClient(other.host, int(other.directives["tls-port"]), tls=certificates.client) as secure:
        wait_until(lambda: str(wanted) in secure.text("CLUSTER", "NODES"), DEADLINE_S, "the port is known")
        assert _port_of_redirect(secure, "k") == wanted
        assert {int(str(node[1])) for node in _owners(secure)} == set(map(int, ports))
    with other.client() as plain:
        assert _port_of_redirect(plain, "k") == owner.port
        assert {int(str(node[1])) for node in _owners(plain)} == {server.port for server in servers}
        assert _shard_ports(plain) == {(server.port, int(port)) for server, port in zip(servers, ports, strict=True)}


def _owners(client: RespClient) -> list[list[object]]:
    slots = client.call("CLUSTER", "SLOTS")
    assert isinstance(slots, list)
    return [entry[2] for entry in slots]


def _shard_ports(client: RespClient) -> set[tuple[int, int]]:
    shards = client.call("CLUSTER", "SHARDS")
    assert isinstance(shards, list)
    nodes = [dict(zip(node[::2], node[1::2], strict=True)) for shard in shards for node in shard[3]]
    return {(node["port"], node["tls-port"]) for node in nodes}
