"""Fields with deadlines between this node and a redis-server 8.2: files, payloads and replication, both ways; and they
move with their slot."""

from __future__ import annotations

import shutil

import pytest

from cluster.bringup.client import Argument, ReplyError
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import Pair
from tests.system.test_rdb_exchange import KEYS, fill, payload_of, seen
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
ALONE = {"cluster-enabled": "no", "repl-ping-replica-period": "1"}
LIMIT = {"hash-max-listpack-entries": "128"}
"""Redis 8's own is 512."""
FAR_MS = 4_000_000_000_000
DIRECTIONS: list[tuple[ServerKind, ServerKind]] = [("ours", "newer"), ("newer", "ours")]

HASHES: dict[str, tuple[list[tuple[Argument, ...]], str]] = {
    "small": ([("HSET", "small", "a", 1, "b", "x" * 30, "c", 3),
               ("HPEXPIREAT", "small", FAR_MS + 9, "FIELDS", 1, "a"),
               ("HPEXPIREAT", "small", FAR_MS, "FIELDS", 1, "b")], "listpackex"),
    "large": ([("HSET", "large", *(part for number in range(300) for part in (f"f{number}", number * 7))),
               *(("HPEXPIREAT", "large", FAR_MS + number * 1000, "FIELDS", 1, f"f{number}")
                 for number in range(0, 300, 7)), ("PEXPIREAT", "large", FAR_MS)], "hashtable"),
    "all": ([("HSETEX", "all", "PXAT", FAR_MS, "FIELDS", 2, "a", "v" * 70, "b", "")], "hashtable"),
    "plain": ([("HSET", "plain", "a", 1)], "listpack"),
}  # fmt: skip
"""By key: how it is made, and its encoding."""


def make_hashes(server: Server) -> None:
    with server.client() as client:
        answers = client.pipeline(*(command for commands, _ in HASHES.values() for command in commands))
    assert not [answer for answer in answers if isinstance(answer, ReplyError)]


def shown(server: Server, key: str) -> tuple[object, ...]:
    """What a client sees of a hash: fields, their deadlines, the encoding, the digest."""
    with server.client() as client:
        names = client.call("HKEYS", key)
        assert isinstance(names, list)
        names.sort()
        return (
            names, client.call("HMGET", key, *names), client.call("HPEXPIRETIME", key, "FIELDS", len(names), *names),
            client.call("PEXPIRETIME", key), client.call("OBJECT", "ENCODING", key),
            client.call("DEBUG", "DIGEST-VALUE", key),
        )  # fmt: skip


@pytest.fixture(scope="module")
def ours(shared_harness: Harness) -> Server:
    return shared_harness.server({**ALONE, **LIMIT}, kind="ours")


@pytest.fixture(scope="module")
def newer(shared_harness: Harness) -> Server:
    return shared_harness.server({**ALONE, **LIMIT}, kind="newer")


def test_payloads_are_restored_at_the_other(ours: Server, newer: Server) -> None:
    for source, target in ((ours, newer), (newer, ours)):
        for server in (ours, newer):
            server.call("FLUSHALL")
        make_hashes(source)
        for key, (_, encoding) in HASHES.items():
            deadline = source.call("PEXPIRETIME", key)
            assert isinstance(deadline, int)
            assert target.call("RESTORE", key, max(deadline, 0), payload_of(source, key), "ABSTTL") == "OK"
            assert shown(target, key) == shown(source, key), key
            assert target.call("OBJECT", "ENCODING", key) == encoding, key


@pytest.mark.parametrize(("writer", "reader"), DIRECTIONS)
@pytest.mark.parametrize("clustered", ["no", "yes"])
def test_a_whole_file_is_loaded_by_the_other(
    harness: Harness, writer: ServerKind, reader: ServerKind, clustered: str
) -> None:
    directives = {**LIMIT, "cluster-enabled": clustered}
    source = harness.server(directives, kind=writer)
    if clustered == "yes":
        source.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: "cluster_state:ok" in source.text("CLUSTER", "INFO"), DEADLINE_S, "the slots are served")
    make_hashes(source)
    fill(source)
    source.call("SAVE")
    target = harness.server({**LIMIT, "cluster-enabled": "no"}, kind=reader, start=False)
    target.directory.mkdir()
    shutil.copy(source.directory / "dump.rdb", target.directory)
    target.start()
    for key in HASHES:
        assert shown(target, key) == shown(source, key), key
    for other in KEYS:
        assert seen(target, other) == seen(source, other), other


@pytest.mark.parametrize(("first", "second"), [*DIRECTIONS, ("ours", "ours")])
def test_replicas_follow(harness: Harness, first: ServerKind, second: ServerKind) -> None:
    pair = Pair(harness.server({**ALONE, **LIMIT}, kind=first), harness.server({**ALONE, **LIMIT}, kind=second))
    make_hashes(pair.primary)
    pair.join()
    for key in HASHES:
        assert shown(pair.replica, key) == shown(pair.primary, key), key
    with pair.primary.client() as client:
        client.pipeline(
            ("HEXPIRE", "plain", 1000, "FIELDS", 1, "a"), ("HSETEX", "new", "EX", 1000, "FIELDS", 2, "a", 1, "b", 2),
            ("HPERSIST", "large", "FIELDS", 1, "f7"), ("HGETEX", "small", "PX", 1_000_000, "FIELDS", 1, "c"),
            ("HINCRBYFLOAT", "large", "f14", "1.5"), ("HGETDEL", "all", "FIELDS", 1, "a"),
            ("HEXPIRE", "all", 0, "FIELDS", 1, "b"), ("COPY", "small", "copied"), ("RENAME", "large", "renamed"),
        )  # fmt: skip
        pair.catch_up()
        for key in ("plain", "new", "renamed", "small", "copied"):
            assert shown(pair.replica, key) == shown(pair.primary, key), key
        # What expires at the primary goes at the replica too, and nobody has to look.
        many = [f"f{number}" for number in range(200)]
        client.pipeline(
            ("HSET", "short", *(part for name in many for part in (name, 1)), "stays", 1),
            ("HPEXPIRE", "short", 30, "FIELDS", len(many), *many),
            ("HSETEX", "gone", "PX", 30, "FIELDS", 1, "a", 1),
        )  # fmt: skip

    def gone() -> bool:
        """The hashes that are left with deadlines are those of above."""
        servers = (pair.primary, pair.replica)
        return all(server.info("keyspace")["db0"].endswith("subexpiry=5") for server in servers)

    wait_until(gone, DEADLINE_S, "expired fields are gone, at the replica too")
    one, other = pair.digests()
    assert one == other
    assert (pair.replica.call("EXISTS", "gone"), pair.replica.call("HLEN", "short")) == (0, 1)
    assert int(pair.primary.info("stats")["expired_subkeys"]) == len(many) + 2


def test_a_file_with_expired_fields_is_cleared_of_them(harness: Harness) -> None:
    server = harness.server(ALONE, kind="ours")
    server.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    server.call("HSET", "h", "a", 1, "b", 2)
    server.call("HPEXPIRE", "h", 1, "FIELDS", 1, "a")
    server.call("HSETEX", "g", "PX", 1, "FIELDS", 1, "a", 1)
    server.call("SAVE")
    server.kill()
    server.start()
    assert server.call("HGETALL", "h") == ["b", "2"]
    wait_until(lambda: server.call("DBSIZE") == 1, DEADLINE_S, "the hash that has nothing left is gone")
    # Without such hashes the file is one that older servers read.
    server.call("DEL", "h")
    server.call("SAVE")
    assert (server.directory / "dump.rdb").read_bytes()[5:9] == b"0010"


def test_deadlines_move_along(harness: Harness) -> None:
    source, target = (harness.server({**ALONE, **LIMIT}, kind="ours") for _ in range(2))
    make_hashes(source)
    before = {key: shown(source, key) for key in HASHES}
    answer = source.call("MIGRATE", target.host, target.port, "", 0, 5000, "KEYS", *HASHES)
    assert answer == "OK"
    assert source.call("DBSIZE") == 0
    for key, was in before.items():
        after = shown(target, key)
        assert (after[:3], after[4:]) == (was[:3], was[4:]), key
