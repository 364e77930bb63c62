"""Slots move while clients read and write: nothing but redirects happens, and every key ends where it belongs."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence

import pytest

from cluster.bringup.client import ReplyError, RespClient
from tests.system.clusters import CliFailure, Cluster, redis_cli
from tests.system.harness import Harness, Server
from tests.system.load import TROUBLE, Load, WriteLoad, cluster_client
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 30.0
FILLED_KEYS = 3000
MOVED_SLOTS = 600
"""So many that a node can be killed before all have moved."""
MOVED_UNDER_LOAD = 240
MOVES = 40


class MixedLoad(Load):
    """Threads that read, write and delete keys of every kind, and remember any error that reaches them."""

    def __init__(self, cluster: Cluster, threads: int = 3) -> None:
        super().__init__(threads)
        self._cluster = cluster
        self.expected: dict[str, str] = {}
        self.rounds = 0

    def _wait_begun(self) -> None:
        wait_until(lambda: self.rounds > 50 or self.errors, DEADLINE_S, "the load runs")

    def _work(self, thread: int) -> None:
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


class SlotLoad(Load):
    """Threads that read, set and delete keys of one slot, each its own, and follow the redirects of `nodes`. What they
    read is what they wrote last, or it is in `anomalies`."""

    def __init__(self, nodes: Sequence[Server], tag: str, *, threads: int = 3, keys: int = 10) -> None:
        super().__init__(threads)
        self._nodes = {node.port: node for node in nodes}
        self._tag = tag
        self._key_count = keys
        self.anomalies: list[str] = []
        self.rounds = 0

    def _wait_begun(self) -> None:
        self.wait_rounds(1)

    def wait_rounds(self, count: int) -> None:
        """Until so many more are done."""
        until = self.rounds + count
        wait_until(lambda: self.rounds >= until or self.errors, DEADLINE_S, "the load goes on")

    def _work(self, thread: int) -> None:
        rng = random.Random(thread)
        clients = {port: node.client() for port, node in self._nodes.items()}
        written: dict[str, str | None] = {}
        try:
            while not self._over.is_set():
                key = f"{{{self._tag}}}{thread}:{rng.randrange(self._key_count)}"
                read = self._ask(clients, "GET", key)
                if read != written.get(key):
                    self.anomalies.append(f"{key} is {str(read)[:20]}, not {str(written.get(key))[:20]}")
                if rng.random() < 0.5:
                    self._ask(clients, "DEL", key)
                    written[key] = None
                else:
                    written[key] = f"{self.rounds}:".ljust(2_000, "x")
                    self._ask(clients, "SET", key, written[key] or "")
                self.rounds += 1
        except (OSError, ReplyError) as error:
            self.errors.append(error)
        finally:
            for client in clients.values():
                client.close()

    @staticmethod
    def _ask(clients: dict[int, RespClient], *command: str) -> object:
        """The answer of the node that has the last word; a client that always begins at the same one gets there."""
        port, asking = min(clients), False
        for _ in range(100):
            commands = [("ASKING",), command] if asking else [command]
            answer = clients[port].pipeline(*commands)[-1]
            if not isinstance(answer, ReplyError):
                return answer
            kind, _, rest = str(answer).partition(" ")
            if kind not in ("ASK", "MOVED", "TRYAGAIN"):
                raise answer
            if kind != "TRYAGAIN":
                port, asking = int(rest.rpartition(":")[2]), kind == "ASK"
        raise ReplyError(f"{command} is sent from node to node: {answer}")


def _move_slot(slot: str, source: Server, target: Server) -> None:
    """As redis-cli moves one, but faster than word of it goes round."""
    here, there = source.text("CLUSTER", "MYID"), target.text("CLUSTER", "MYID")
    assert target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", here) == "OK"
    assert source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", there) == "OK"
    while keys := source.call("CLUSTER", "GETKEYSINSLOT", slot, 10):
        assert isinstance(keys, list)
        moved = source.call("MIGRATE", target.host, target.port, "", 0, 5_000, "KEYS", *keys)
        assert moved in ("OK", "NOKEY")
    assert target.call("CLUSTER", "SETSLOT", slot, "NODE", there) == "OK"
    assert source.call("CLUSTER", "SETSLOT", slot, "NODE", there) == "OK"


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
            slots = (slot for first, last in served for slot in range(first, last + 1))
            counts = client.pipeline(*(("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in slots))
            held = sum(int(str(count)) for count in counts)
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
        redis_cli(*_reshard_words(source, target, MOVED_UNDER_LOAD))
        cluster.wait_whole()
        redis_cli(*_reshard_words(target, source, MOVED_UNDER_LOAD // 2))
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


def test_while_a_slot_goes_back_and_forth_no_write_is_lost_and_nothing_deleted_comes_back(harness: Harness) -> None:
    cluster = Cluster.create(harness, 3, 0)
    source, target = (cluster.owner(tag) for tag in ("slot", "other"))
    assert source is not target
    slot = source.text("CLUSTER", "KEYSLOT", "slot")
    with SlotLoad((source, target), "slot") as load:
        for _ in range(MOVES):
            _move_slot(slot, source, target)
            load.wait_rounds(5)
            source, target = target, source
    assert (load.errors, load.anomalies) == ([], [])
    wait_until(lambda: not cluster.why_not_whole(), DEADLINE_S, "all agree")
    assert cluster.owner("slot") is source


def test_keys_of_a_slot_that_is_taken_away_go_from_the_replicas_too(harness: Harness) -> None:
    cluster = Cluster.create(harness, 6, 1)
    loser, taker = cluster.owner("slot"), cluster.owner("other")
    replica = cluster.replicas_of(loser)[0]
    with loser.client() as client:
        client.pipeline(*(("SET", f"{{slot}}{number}", number) for number in range(500)))
    wait_until(lambda: replica.call("DBSIZE") == 500, DEADLINE_S, "the replica has them")
    slot = taker.text("CLUSTER", "KEYSLOT", "slot")
    assert taker.call("CLUSTER", "SETSLOT", slot, "IMPORTING", loser.text("CLUSTER", "MYID")) == "OK"
    assert taker.call("CLUSTER", "SETSLOT", slot, "NODE", taker.text("CLUSTER", "MYID")) == "OK"
    wait_until(lambda: loser.call("DBSIZE") == 0, DEADLINE_S, "the keys are gone")
    if harness.kind == "ours":  # redis-server 7.0 says nothing to its replicas
        wait_until(lambda: replica.call("DBSIZE") == 0, DEADLINE_S, "from the replica, too")


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
