"""Slots move while clients read and write: nothing but redirects happens, and every key ends where it belongs."""

from __future__ import annotations

import random
import threading
from types import TracebackType
from typing import Self

import pytest

from tests.system.clusters import CliFailure, Cluster, redis_cli
from tests.system.harness import Harness, Server
from tests.system.load import TROUBLE, WriteLoad, cluster_client
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0
FILLED_KEYS = 3000
MOVED_SLOTS = 600


class MixedLoad:
    """Threads that read, write and delete keys of every kind, and remember any error that reaches them."""

    def __init__(self, cluster: Cluster, threads: int = 3) -> None:
        self._cluster = cluster
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]
        self.errors: list[Exception] = []
        self.expected: dict[str, str] = {}
        self.rounds = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.rounds > 50 or self.errors, DEADLINE_S, "the load runs")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, thread: int) -> None:
        rng = random.Random(thread)
        client = cluster_client(self._cluster)
        try:
            while not self._over.is_set():
                number = rng.randrange(400)
                key, value = f"mixed:{thread}:{number}", str(rng.randrange(10**6))
                client.set(key, value)
                self.expected[key] = value
                assert client.get(key) == value
                tag = f"{{mixed:{thread}:{number}}}"
                client.sadd(f"{tag}set", value)
                client.hset(f"{tag}hash", "field", value)
                client.zadd(f"{tag}zset", {value: 1})
                assert client.hget(f"{tag}hash", "field") == value
                client.delete(f"{tag}set", f"{tag}hash", f"{tag}zset")
                self.rounds += 1
                self._over.wait(0.002)
        except (*TROUBLE, AssertionError) as error:
            self.errors.append(error)
        finally:
            client.close()


def _fill(cluster: Cluster) -> None:
    client = cluster_client(cluster)
    try:
        with client.pipeline() as pipeline:  # type: ignore[no-untyped-call]
            for number in range(FILLED_KEYS):
                pipeline.set(f"filled:{number}", number)
            pipeline.execute()
    finally:
        client.close()


def _require_filled(cluster: Cluster) -> None:
    client = cluster_client(cluster)
    try:
        with client.pipeline() as pipeline:  # type: ignore[no-untyped-call]
            for number in range(FILLED_KEYS):
                pipeline.get(f"filled:{number}")
            assert pipeline.execute() == [str(number) for number in range(FILLED_KEYS)]
    finally:
        client.close()


def _require_in_place(cluster: Cluster) -> None:
    """No primary holds a key of a slot that it does not serve."""
    for server in cluster.primaries():
        served = cluster.member(server).slots
        with server.client() as client:
            held = sum(
                int(str(client.call("CLUSTER", "COUNTKEYSINSLOT", slot)))
                for first, last in served
                for slot in range(first, last + 1)
            )
            assert client.call("DBSIZE") == held, f"{server} holds keys of slots that are not its own"


def _reshard_words(source: Server, target: Server, slots: int) -> list[str | int]:
    return [
        "--cluster", "reshard", source.address, "--cluster-from", source.text("CLUSTER", "MYID"), "--cluster-to",
        target.text("CLUSTER", "MYID"), "--cluster-slots", slots, "--cluster-yes", "--cluster-pipeline", 5,
    ]  # fmt: skip


def test_resharding_under_a_mixed_load_reaches_no_client(harness: Harness) -> None:
    cluster = Cluster.create(harness, 6, 1)
    _fill(cluster)
    source, target = cluster.primaries()[:2]
    with MixedLoad(cluster) as load:
        redis_cli(*_reshard_words(source, target, MOVED_SLOTS))
        cluster.wait_whole()
        redis_cli(*_reshard_words(target, source, MOVED_SLOTS // 2))
        before = load.rounds
        wait_until(lambda: load.rounds > before + 50 or load.errors, DEADLINE_S, "the load goes on")
    assert load.errors == []
    cluster.wait_whole()
    assert "[OK] All 16384 slots covered." in cluster.cli("check", "@")
    _require_filled(cluster)
    _require_in_place(cluster)
    client = cluster_client(cluster)
    try:
        assert {key: client.get(key) for key in load.expected} == load.expected
    finally:
        client.close()


@pytest.mark.parametrize("killed", ["source", "target"])
def test_fix_after_a_node_was_killed_midway(harness: Harness, killed: str) -> None:
    cluster = Cluster.create(harness, 6, 1, {"cluster-node-timeout": "1500", "appendonly": "no"})
    _fill(cluster)
    source, target = cluster.primaries()[:2]
    victim = source if killed == "source" else target
    heir = cluster.replicas_of(victim)[0]
    before = cluster.member(target).slot_count
    words = _reshard_words(source, target, MOVED_SLOTS)
    failure: list[Exception] = []

    def reshard() -> None:
        try:
            redis_cli(*words)
        except CliFailure as error:
            failure.append(error)

    with WriteLoad(cluster) as load:
        thread = threading.Thread(target=reshard)
        thread.start()
        wait_until(lambda: cluster.member(target).slot_count > before + 20, DEADLINE_S, "slots have begun to move")
        victim.kill()
        thread.join(60)
        assert failure, "the reshard was over before the node was killed"
        cluster.wait_promoted(heir, DEADLINE_S)
        victim.start()
        # As a replica; or, where a slot had just become its own and nobody heard of it yet, as that slot's primary.
        cluster.wait_whole()
        redis_cli("--cluster", "fix", heir.address, stdin="yes\n", check=False)
        cluster.wait_whole()
        load.wait_everywhere(DEADLINE_S)
    assert "[OK] All 16384 slots covered." in cluster.cli("check", "@")
    assert not any(member.open_slots for server in cluster.running for member in cluster.view(server).values())
    _require_filled(cluster)
    _require_in_place(cluster)
