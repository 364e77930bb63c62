"""Functions go wherever data go: to replicas, into files, to a node that joins; from redis-server and to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.bringup.client import RespClient
from tests.system.clusters import Cluster
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import ALONE, DEADLINE_S, PAIRS, Pair
from tests.system.test_aof_exchange import LOGGED, OTHER, checked, rewrite
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

MANY = 12_000
"""Keys for which a full sync needs a child."""


def library(name: str, answer: str) -> str:
    """Of one function, which writes and answers."""
    return (
        f"#!lua name={name}\nredis.register_function('{name}', function(keys, args)\n"
        f"redis.call('set', keys[1], '{answer}') return redis.call('get', keys[1]) end)\n-- {'x' * 3000}"
    )


def listed(server: Server) -> set[str]:
    """The code of each library."""
    found = server.call("FUNCTION", "LIST", "WITHCODE")
    assert isinstance(found, list)
    return {entry[7] for entry in found}


def dump_of(server: Server) -> bytes:
    with RespClient(server.host, server.port, encoding=None) as client:
        payload = client.call("FUNCTION", "DUMP")
    assert isinstance(payload, bytes)
    return payload


@pytest.mark.parametrize("kinds", PAIRS, ids="-".join)
@pytest.mark.parametrize("keys", [0, MANY])
def test_a_replica_has_them(harness: Harness, kinds: tuple[ServerKind, ServerKind], keys: int) -> None:
    pair = Pair(*(harness.server(ALONE, kind=kind) for kind in kinds))
    primary, replica = pair.primary, pair.replica
    if keys:
        primary.call("DEBUG", "POPULATE", keys, "many", 20)
    for name in ("old", "gone"):
        primary.call("FUNCTION", "LOAD", library(name, "first"))
    replica.call("FUNCTION", "LOAD", library("own", "not for long"))
    pair.join()
    pair.catch_up()
    assert listed(replica) == listed(primary) == {library("old", "first"), library("gone", "first")}
    payload = dump_of(primary)
    primary.call("FUNCTION", "LOAD", library("new", "second"))
    primary.call("FUNCTION", "DELETE", "gone")
    primary.call("FUNCTION", "LOAD", "REPLACE", library("old", "second"))
    assert primary.call("FCALL", "old", 1, "k") == "second"
    pair.catch_up()
    assert listed(replica) == {library("old", "second"), library("new", "second")}
    assert replica.call("GET", "k") == "second"
    primary.call("FUNCTION", "RESTORE", payload, "FLUSH")
    pair.catch_up()
    assert listed(replica) == {library("old", "first"), library("gone", "first")}
    replica.call("REPLICAOF", "NO", "ONE")
    assert replica.call("FCALL", "old", 1, "k") == "first"


@pytest.mark.parametrize("writer", ["ours", "redis"])
def test_a_snapshot_is_loaded_by_the_other(harness: Harness, writer: ServerKind) -> None:
    source = harness.server(ALONE, kind=writer)
    for name in ("one", "two"):
        source.call("FUNCTION", "LOAD", library(name, "1"))
    source.call("SET", "k", "v")
    source.call("BGSAVE")
    wait_until(lambda: source.info("persistence")["rdb_bgsave_in_progress"] == "0", DEADLINE_S, "it is saved")
    source.kill()
    target = harness.server(ALONE, kind=OTHER[writer], start=False)
    target.directory.mkdir(exist_ok=True)
    shutil.copy(source.directory / "dump.rdb", target.directory / "dump.rdb")
    target.start()
    assert listed(target) == {library("one", "1"), library("two", "1")}
    assert (target.call("FCALL", "two", 1, "x"), target.call("GET", "k")) == ("1", "v")


@pytest.mark.parametrize("writer", ["ours", "redis"])
@pytest.mark.parametrize("base", ["none", "rdb", "commands"])
def test_an_append_only_file_is_loaded_by_the_other(harness: Harness, writer: ServerKind, base: str) -> None:
    directives = {**LOGGED, "aof-use-rdb-preamble": "no" if base == "commands" else "yes"}
    source = harness.server(directives, kind=writer)
    for name in ("kept", "gone"):
        source.call("FUNCTION", "LOAD", library(name, "1"))
    if base != "none":
        rewrite(source)
    payload = dump_of(source)
    source.call("FUNCTION", "FLUSH")
    source.call("FUNCTION", "RESTORE", payload)
    source.call("FUNCTION", "DELETE", "gone")
    source.call("FUNCTION", "LOAD", library("later", "2"))
    source.call("FCALL", "later", 1, "k")
    source.kill()
    checked(source)
    target = harness.server(directives, kind=OTHER[writer], start=False)
    shutil.copytree(source.directory / "appendonlydir", target.directory / "appendonlydir")
    target.start()
    assert listed(target) == {library("kept", "1"), library("later", "2")}
    assert (target.call("GET", "k"), target.call("FCALL", "kept", 1, "k")) == ("2", "1")


def test_redis_cli_fetches_a_file_of_them(harness: Harness, tmp_path: Path) -> None:
    source = harness.server(ALONE)
    source.call("SET", "k", "v")
    source.call("FUNCTION", "LOAD", library("fetched", "1"))
    path = tmp_path / "functions.rdb"
    command = ["redis-cli", "-p", str(source.port), "--functions-rdb", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    for kind in ("ours", "redis"):
        target = harness.server(ALONE, kind=kind, start=False)
        target.directory.mkdir(exist_ok=True)
        shutil.copy(path, target.directory / "dump.rdb")
        target.start()
        assert (listed(target), target.call("DBSIZE")) == ({library("fetched", "1")}, 0)


def test_a_node_that_joins_is_given_them(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3, 0)
    for server in cluster.servers:
        server.call("FUNCTION", "LOAD", library("shared", "1"))
    joining = harness.server()
    cluster.cli("add-node", joining.address, "@")
    cluster.wait_whole(servers=[*cluster.servers, joining])
    assert listed(joining) == {library("shared", "1")}
    other = harness.server()
    other.call("FUNCTION", "LOAD", library("own", "1"))
    assert "already contains functions" in cluster.cli("add-node", other.address, "@", check=False)
    assert listed(other) == {library("own", "1")}
