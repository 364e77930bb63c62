"""Replication outside a cluster, as an operator sets it up: from conf files, by FAILOVER, over bad networks.

What holds for redis-server too runs against it with `--server redis`; a test of both kinds at once names them.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.bringup.client import Argument, ReplyError
from tests.system.harness import Harness, Server, ServerKind
from tests.system.pairs import ALONE, DEADLINE_S, PAIRS, Pair, run
from tests.system.proxy import Proxy
from tests.system.test_rdb_exchange import KEYS, fill, seen
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

MANY = 12_000
"""Keys for which a full sync needs a child."""


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, harness: Harness) -> Pair:
    first, second = request.param
    return Pair(harness.server(ALONE, kind=first), harness.server(ALONE, kind=second))


@pytest.fixture
def two(harness: Harness) -> Pair:
    """Two of one kind, joined."""
    pair = Pair(harness.server(ALONE), harness.server(ALONE))
    pair.join()
    return pair


def refusal(server: Server, *arguments: Argument) -> str:
    with pytest.raises(ReplyError) as caught:
        server.call(*arguments)
    return str(caught.value)


class Load:
    """A client that counts up until the block ends, going on at whichever of the servers takes its writes."""

    def __init__(self, *servers: Server) -> None:
        self._servers = servers
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged = 0

    def _run(self) -> None:
        while not self._over.is_set():
            for server in self._servers:
                try:
                    with server.client() as client:
                        while not self._over.is_set():
                            client.call("RPUSH", "load", self.acknowledged + 1)
                            self.acknowledged += 1
                except (ReplyError, OSError):
                    continue

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            self.wait_for(100)
            yield
            self.wait_for(100)
        finally:
            self._over.set()
            self._thread.join()

    def wait_for(self, more: int) -> None:
        wanted = self.acknowledged + more
        wait_until(lambda: self.acknowledged >= wanted, DEADLINE_S, "writes are acknowledged")


# -- the tutorial ------------------------------------------------------------------------------------------------


PRIMARY_CONF = """
# Create a strong password here
requirepass 123456

# AUTH password of the primary instance in case this instance becomes a replica
masterauth 123456

# Enable AOF file persistence
appendonly yes

# Choose a name for the AOF file
appendfilename "primary.aof"
"""
REPLICA_CONF = """
# Address of the primary instance
replicaof 127.0.0.1 {primary}

# AUTH password of the primary instance
masterauth 123456

# AUTH password for the replica instance
requirepass 123456
"""


def from_conf(harness: Harness, text: str) -> Server:
    """A server with this file; port and directory are the test's."""
    server = harness.server({"requirepass": "123456"}, start=False)
    server.directory.mkdir(parents=True)
    (server.directory / "node.conf").write_text(f"port {server.port}\ndir {server.directory}\n{text}")
    server.start()
    return server


def test_the_tutorials_session(harness: Harness) -> None:
    primary = from_conf(harness, PRIMARY_CONF)
    replica = from_conf(harness, REPLICA_CONF.format(primary=primary.port))
    pair = Pair(primary, replica)
    pair.wait_up()
    assert "cluster_enabled:0" in primary.text("INFO", "cluster")
    with replica.client() as monitor:
        assert monitor.call("MONITOR") == "OK"
        primary.call("SET", "foo", "bar")
        lines: list[str] = []
        while not lines or '"foo"' not in lines[-1]:
            lines.append(str(monitor.receive()))
    shown = [line.split(" ", 1)[1] for line in lines if '"ping"' not in line.lower()]
    where = f"[0 127.0.0.1:{primary.port}]"
    assert [line.lower() for line in shown[-2:]] == [f'{where} "select" "0"', f'{where} "set" "foo" "bar"']
    assert replica.call("GET", "foo") == "bar"
    assert refusal(replica, "SET", "foo", "x") == "READONLY You can't write against a read only replica."
    replica.directives.pop("requirepass")
    assert refusal(replica, "GET", "foo").startswith("NOAUTH")


# -- FAILOVER ----------------------------------------------------------------------------------------------------


def wait_handed_over(pair: Pair) -> None:
    """Until the primary follows its replica."""

    def over() -> bool:
        info = pair.primary.info("replication")
        return (info["role"], info["master_failover_state"]) == ("slave", "no-failover")

    wait_until(over, DEADLINE_S, lambda: f"handed over\n{pair.primary.log_tail()}\n{pair.replica.log_tail()}")
    pair.turned().wait_up()


def test_failover_and_back_loses_no_write_and_needs_no_full_sync(pair: Pair) -> None:
    pair.join()
    load = Load(pair.primary, pair.replica)
    with load.running():
        assert pair.primary.call("FAILOVER", "TO", pair.replica.host, pair.replica.port, "TIMEOUT", 10_000) == "OK"
        wait_handed_over(pair)
        load.wait_for(100)
        assert pair.replica.call("FAILOVER") == "OK"
        wait_handed_over(pair.turned())
    assert pair.primary.call("ROLE")[0] == "master"  # type: ignore[index]
    assert pair.synced("sync_full") == 1
    assert pair.turned().synced("sync_full") == 0
    first, second = pair.digests()
    assert first == second
    found = pair.primary.call("LRANGE", "load", 0, -1)
    assert isinstance(found, list)
    assert set(range(1, load.acknowledged + 1)) <= {int(one) for one in found}


def test_failover_says_what_is_wrong_with_a_wish(two: Pair) -> None:
    primary, replica = two.primary, two.replica
    two.catch_up()
    for arguments, error in (
        (("ABORT",), "ERR No failover in progress."), (("TIMEOUT", 0), "ERR FAILOVER timeout must be greater than 0"),
        (("TIMEOUT", "x"), "ERR value is not an integer or out of range"), (("TO", "h"), "ERR syntax error"),
        (("TO", "h", "x"), "ERR value is not an integer or out of range"), (("NOW",), "ERR syntax error"),
        (("TO", "h", 1), "ERR FAILOVER target HOST and PORT is not a replica."),
        (("FORCE",), "ERR FAILOVER with force option requires both a timeout and target HOST and IP."),
        (("ABORT", "TIMEOUT", 5), "ERR syntax error"), (("TIMEOUT", 5, "TIMEOUT", 5), "ERR syntax error"),
    ):  # fmt: skip
        assert refusal(primary, "FAILOVER", *arguments) == error
    assert refusal(replica, "FAILOVER") == "ERR FAILOVER is not valid when server is a replica."
    replica.call("REPLICAOF", "NO", "ONE")
    wait_until(lambda: primary.info("replication")["connected_slaves"] == "0", DEADLINE_S, "it is alone")
    assert refusal(primary, "FAILOVER") == "ERR FAILOVER requires connected replicas."
    assert refusal(primary, "PSYNC", "?", -1, "FAILOVER") == "ERR PSYNC FAILOVER can't be sent to a master."


def test_failover_waits_for_a_replica_that_lags_until_its_time_is_up(two: Pair) -> None:
    primary, replica = two.primary, two.replica
    two.catch_up()
    replica.freeze()
    try:
        primary.call("SET", "not there", 1)
        assert primary.call("FAILOVER") == "OK"
        assert primary.info("replication")["master_failover_state"] == "waiting-for-sync"
        assert refusal(primary, "FAILOVER") == "ERR FAILOVER already in progress."
        assert refusal(primary, "REPLICAOF", "NO", "ONE") == "ERR REPLICAOF not allowed while failing over."
        with primary.client() as writer:
            writer.send("SET", "held", 1)
            assert primary.call("FAILOVER", "ABORT") == "OK"
            assert writer.receive() == "OK", "what waited goes on"
        assert primary.call("FAILOVER", "TIMEOUT", 300) == "OK"
        state = "master_failover_state"
        wait_until(lambda: primary.info("replication")[state] == "no-failover", DEADLINE_S, "given up")
        assert primary.info("replication")["role"] == "master"
        to_it = ("TO", replica.host, replica.port, "FORCE", "TIMEOUT", 100)
        assert primary.call("FAILOVER", *to_it) == "OK"
        wait_until(lambda: primary.info("replication")["role"] == "slave", DEADLINE_S, "forced")
        assert primary.info("replication")[state] == "failover-in-progress"
        assert primary.call("FAILOVER", "ABORT") == "OK"
        assert primary.info("replication")["role"] == "master"
        assert primary.call("SET", "after", 1) == "OK"
    finally:
        replica.thaw()


# -- bad networks ------------------------------------------------------------------------------------------------


def test_a_link_that_is_cut_again_and_again_goes_on_where_it_was(pair: Pair) -> None:
    fill(pair.primary)
    with Proxy(pair.primary.port) as proxy:
        pair.join(proxy.port)
        load = Load(pair.primary)
        with load.running():
            for count in range(1, 4):
                proxy.cut()
                load.wait_for(50)
                pair.wait_synced("sync_partial_ok", count)
        first, second = pair.digests()
    assert first == second
    assert (pair.synced("sync_full"), pair.synced("sync_partial_ok")) == (1, 3)
    for key in KEYS:
        assert seen(pair.replica, key) == seen(pair.primary, key), key


def test_a_cut_within_a_full_sync_begins_it_anew(pair: Pair) -> None:
    pair.primary.call("DEBUG", "POPULATE", MANY, "many", 400)
    pair.replica.call("SET", "old", 1)
    with Proxy(pair.primary.port) as proxy:
        proxy.hold()
        pair.replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        proxy.wait_accepted(1)
        proxy.let_go()
        wait_until(lambda: proxy.passed_bytes > 200_000, DEADLINE_S, "the snapshot is under way")
        proxy.cut()
        first, second = pair.digests()
    assert first == second
    assert pair.replica.call("DBSIZE") == MANY
    assert not list(pair.replica.directory.glob("temp-*"))


def test_a_replica_that_takes_long_for_its_snapshot_is_not_made_to_begin_again(harness: Harness) -> None:
    """redis-server would cut it off, and again, for ever."""
    pair = Pair(
        harness.server({**ALONE, "client-output-buffer-limit": "replica 100kb 100kb 1"}, kind="ours"),
        harness.server(ALONE, kind="ours"),
    )
    pair.primary.call("DEBUG", "POPULATE", MANY, "many", 400)
    with Proxy(pair.primary.port) as proxy:
        pair.replica.call("REPLICAOF", "127.0.0.1", proxy.port)
        wait_until(lambda: proxy.passed_bytes > 200_000, DEADLINE_S, "the snapshot is under way")
        proxy.hold()
        with pair.primary.client() as client:
            run(client, *(("SET", f"big:{number}", "x" * 20_000) for number in range(30)))
        proxy.let_go()
        first, second = pair.digests()
    assert first == second
    assert pair.synced("sync_full") == 1


# -- full syncs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "mode"), [("redis", "disabled"), ("redis", "on-empty-db"), ("ours", "swapdb"), ("redis", "swapdb")]
)
def test_repl_diskless_load(harness: Harness, primary: ServerKind, mode: str) -> None:
    pair = Pair(harness.server(ALONE, kind=primary), harness.server({**ALONE, "repl-diskless-load": mode}, kind="ours"))
    fill(pair.primary)
    pair.primary.call("DEBUG", "POPULATE", MANY, "many", 50)
    pair.join()
    first, second = pair.digests()
    assert first == second


def test_a_replica_serves_what_it_had_until_all_of_the_snapshot_is_loaded(harness: Harness) -> None:
    """redis-server does so only with swapdb and within one history."""
    pair = Pair(harness.server(ALONE), harness.server({**ALONE, "key-load-delay": "2000"}, kind="ours"))
    pair.primary.call("DEBUG", "POPULATE", 400)
    pair.replica.call("SET", "old", 1)
    pair.replica.call("REPLICAOF", pair.primary.host, pair.primary.port)
    wait_until(lambda: pair.replica.info("persistence")["async_loading"] == "1", DEADLINE_S, "it is loading")
    found = pair.replica.info("replication")
    assert (found["master_link_status"], found["master_sync_in_progress"]) == ("down", "1")
    assert (pair.replica.call("GET", "old"), pair.replica.call("DBSIZE")) == ("1", 1)
    pair.replica.call("CONFIG", "SET", "key-load-delay", 0)
    pair.catch_up()
    assert (pair.replica.call("GET", "old"), pair.replica.call("DBSIZE")) == (None, 400)
    assert pair.replica.info("persistence")["async_loading"] == "0"


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_replicas_that_come_together_share_a_snapshot(harness: Harness, diskless: str) -> None:
    primary = harness.server({
        **ALONE, "repl-diskless-sync": diskless, "repl-diskless-sync-delay": "600",
        "repl-diskless-sync-max-replicas": "2",
    })  # fmt: skip
    primary.call("DEBUG", "POPULATE", MANY, "many", 50)
    pairs = [Pair(primary, harness.server(ALONE)) for _ in range(2)]
    for pair in pairs:
        pair.replica.call("REPLICAOF", primary.host, primary.port)
    for pair in pairs:
        first, second = pair.digests()
        assert first == second
    assert primary.info("stats")["sync_full"] == "2"


def test_sub_replicas_stay_when_the_node_above_them_comes_by_another_way(two: Pair, harness: Harness) -> None:
    below = Pair(two.replica, harness.server(ALONE))
    below.join()
    below.catch_up()
    with Proxy(two.primary.port) as proxy:
        two.join(proxy.port)
        two.primary.call("SET", "k", 1)
        two.catch_up()
        below.catch_up()
        assert below.replica.call("GET", "k") == "1"
        assert below.replica.info("replication")["master_replid"] == two.primary.info("replication")["master_replid"]
        assert below.synced("sync_full") == 1
        assert below.synced("sync_partial_ok") == 0, "its link was never down"


# -- a replica without its primary -------------------------------------------------------------------------------


def test_stale_data_may_be_refused(harness: Harness) -> None:
    server = harness.server({**ALONE, "replica-serve-stale-data": "no"})
    server.call("SET", "k", 1)
    server.call("REPLICAOF", "127.0.0.1", harness.free_port())
    down = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
    refused: list[tuple[Argument, ...]] = [("GET", "k"), ("PING",), ("SET", "k", 1), ("DBSIZE",), ("WAIT", 0, 0)]
    for command in refused:
        assert refusal(server, *command).startswith(("MASTERDOWN", "READONLY")), command
    assert refusal(server, "GET", "k") == down
    answered: list[tuple[Argument, ...]] = [
        ("INFO", "replication"), ("ROLE",), ("CONFIG", "GET", "port"), ("SELECT", 1), ("CLIENT", "ID"),
        ("PUBLISH", "c", "m"), ("TIME",), ("REPLCONF", "capa", "eof"),
    ]  # fmt: skip
    for command in answered:
        assert server.call(*command) is not None, command
    server.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
    assert server.call("GET", "k") == "1"
    server.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    assert refusal(server, "GET", "k") == down
    server.call("REPLICAOF", "NO", "ONE")
    assert server.call("GET", "k") == "1"


# -- redis-cli ---------------------------------------------------------------------------------------------------


def test_redis_cli_follows_the_stream(harness: Harness) -> None:
    server = harness.server(ALONE)
    server.call("DEBUG", "POPULATE", MANY, "many", 20)
    command = ["redis-cli", "-p", str(server.port), "--replica"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as cli:
        try:
            wait_until(lambda: "state=online" in server.info("replication").get("slave0", ""), DEADLINE_S, "it follows")
            server.call("SET", "seen", "by redis-cli")
            assert cli.stdout is not None
            lines = iter(cli.stdout)
            assert any('"seen"' in line for line in lines)
        finally:
            cli.terminate()


@pytest.mark.parametrize("option", ["--rdb", "--functions-rdb"])
def test_redis_cli_fetches_a_file(harness: Harness, tmp_path: Path, option: str) -> None:
    server = harness.server(ALONE)
    server.call("DEBUG", "POPULATE", MANY, "many", 20)
    path = tmp_path / "fetched.rdb"
    command = ["redis-cli", "-p", str(server.port), option, str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    check = subprocess.run(["redis-check-rdb", str(path)], capture_output=True, text=True, timeout=30, check=False)
    assert "RDB looks OK" in check.stdout
    keys = MANY if option == "--rdb" else 0
    assert f"{keys} keys read" in check.stdout


def test_what_a_replica_announces_is_what_its_primary_tells(two: Pair) -> None:
    announced = {"replica-announce-ip": "10.9.8.7", "replica-announce-port": "1234", "replica-priority": "7"}
    for name, value in announced.items():
        two.replica.call("CONFIG", "SET", name, value)
    two.primary.call("CLIENT", "KILL", "TYPE", "replica")  # it says so when it comes again

    def told() -> bool:
        shown = two.primary.info("replication").get("slave0", "")
        return shown.startswith("ip=10.9.8.7,port=1234,state=online,")

    wait_until(told, DEADLINE_S, "it is known by its announced address")
    role = two.primary.call("ROLE")
    assert isinstance(role, list)
    assert [replica[:2] for replica in role[2]] == [["10.9.8.7", "1234"]]
    assert two.replica.info("replication")["slave_priority"] == "7"


def test_writes_need_as_many_good_replicas_as_configured(two: Pair) -> None:
    primary = two.primary
    primary.call("CONFIG", "SET", "min-replicas-to-write", 1)
    wait_until(
        lambda: primary.info("replication").get("min_slaves_good_slaves") == "1", DEADLINE_S, "the replica is good"
    )
    assert primary.call("SET", "a", 1) == "OK"
    primary.call("CONFIG", "SET", "min-replicas-to-write", 2)
    for command in (("SET", "a", 2), ("EVAL", "return redis.call('set', 'a', 2)", 0)):
        with pytest.raises(ReplyError, match=r"^NOREPLICAS Not enough good replicas to write"):
            primary.call(*command)
    assert primary.call("GET", "a") == "1"
    primary.call("CONFIG", "SET", "min-replicas-max-lag", 0)
    assert primary.call("SET", "a", 3) == "OK"
