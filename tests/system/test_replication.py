"""Replication with real processes: our node follows a redis-server, a redis-server follows ours, ours follows ours.

Outside cluster mode, where REPLICAOF joins any two servers and there are several databases to get wrong.
"""

from __future__ import annotations

import os

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness
from tests.system.pairs import ALONE, DEADLINE_S, PAIRS, Pair, run
from tests.system.test_rdb_exchange import KEYS, fill, payload_of, seen
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, shared_harness: Harness) -> Pair:
    """Joined, and shared: a test leaves it in step."""
    first, second = request.param
    pair = Pair(shared_harness.server(ALONE, kind=first), shared_harness.server(ALONE, kind=second))
    pair.join()
    return pair


@pytest.fixture(params=PAIRS, ids="-".join)
def new_pair(request: pytest.FixtureRequest, harness: Harness) -> Pair:
    """Not joined yet."""
    first, second = request.param
    return Pair(harness.server(ALONE, kind=first), harness.server(ALONE, kind=second))


@pytest.mark.parametrize("diskless", ["yes", "no"])
def test_a_full_sync_carries_every_type_and_database(new_pair: Pair, diskless: str) -> None:
    new_pair.primary.call("CONFIG", "SET", "repl-diskless-sync", diskless)
    fill(new_pair.primary)
    with new_pair.primary.client() as client:
        client.call("SELECT", 9)
        client.call("SET", "elsewhere", "9")
    new_pair.replica.call("SET", "of its own", "gone")
    new_pair.join()
    for key in KEYS:
        assert seen(new_pair.replica, key) == seen(new_pair.primary, key), key
    first, second = new_pair.digests()
    assert first == second
    with new_pair.replica.client() as client:
        assert client.call("EXISTS", "of its own") == 0
        client.call("SELECT", 9)
        assert client.call("GET", "elsewhere") == "9"


def test_a_full_sync_of_many_keys_goes_through_a_file(new_pair: Pair) -> None:
    new_pair.primary.call("DEBUG", "POPULATE", 20_000, "many", 100)
    new_pair.join()
    first, second = new_pair.digests()
    assert first == second
    assert new_pair.replica.call("DBSIZE") == 20_000
    assert not list(new_pair.replica.directory.glob("temp-*")), "nothing is left behind"
    assert not list(new_pair.primary.directory.glob("temp-*")), "nothing is left behind"


@pytest.mark.parametrize(
    ("policy", "figure", "value"), [("allkeys-lru", "IDLETIME", 500_000), ("allkeys-lfu", "FREQ", 200)]
)
def test_the_use_of_keys_arrives(new_pair: Pair, policy: str, figure: str, value: int) -> None:
    for server in (new_pair.primary, new_pair.replica):
        server.call("CONFIG", "SET", "maxmemory-policy", policy)
    primary = new_pair.primary
    primary.call("SET", "k", "v")
    payload = payload_of(primary, "k")
    primary.call("RESTORE", "by snapshot", 0, payload, figure, value)
    new_pair.join()
    primary.call("RESTORE", "by stream", 0, payload, figure, value)
    new_pair.catch_up()
    for key in ("by snapshot", "by stream"):
        shown = new_pair.replica.call("OBJECT", figure, key)
        assert isinstance(shown, int)
        assert value - 10 <= shown < value + 100, key  # frequencies fall by one a minute, on each side


def test_writes_during_a_full_sync_arrive(new_pair: Pair) -> None:
    new_pair.primary.call("DEBUG", "POPULATE", 20_000, "many", 100)
    new_pair.replica.call("REPLICAOF", new_pair.primary.host, new_pair.primary.port)
    with new_pair.primary.client() as client:
        for number in range(200):
            client.call("INCR", "counter")
            client.call("SET", f"many:{number}", "changed")
    first, second = new_pair.digests()
    assert first == second


def test_the_live_stream_carries_every_kind_of_write(pair: Pair) -> None:
    pair.primary.call("FLUSHALL")
    fill(pair.primary)
    for key in KEYS:
        pair.catch_up()
        assert seen(pair.replica, key) == seen(pair.primary, key), key
    first, second = pair.digests()
    assert first == second


def test_databases_are_kept_apart(pair: Pair) -> None:
    with pair.primary.client() as client:
        run(
            client, ("FLUSHALL",), ("SELECT", 3), ("SET", "a", 3), ("SELECT", 5), ("SET", "a", 5), ("SELECT", 3),
            ("MOVE", "a", 4), ("COPY", "b", "c", "DB", 6), ("SWAPDB", 4, 5), ("SELECT", 15), ("SET", "a", 15),
            ("SELECT", 7), ("SET", "gone", 7), ("FLUSHDB",),
        )  # fmt: skip
    first, second = pair.digests()
    assert first == second
    with pair.replica.client() as client:
        answers = client.pipeline(("SELECT", 4), ("GET", "a"), ("SELECT", 5), ("GET", "a"))
    assert answers[1::2] == ["5", "3"]


@pytest.mark.parametrize("side", ["primary", "replica"])
def test_a_cut_link_is_mended_by_what_was_missed_and_in_the_same_database(pair: Pair, side: str) -> None:
    with pair.primary.client() as client:
        run(client, ("SELECT", 7), ("SET", "before", 1))
        pair.catch_up()
        full, partial = (int(pair.primary.info("stats")[name]) for name in ("sync_full", "sync_partial_ok"))
        if side == "primary":
            assert client.call("CLIENT", "KILL", "TYPE", "replica") == 1
        else:
            assert pair.replica.call("CLIENT", "KILL", "TYPE", "master") == 1
        client.call("SET", "after", 2)

    def mended() -> bool:
        return int(pair.primary.info("stats")["sync_partial_ok"]) == partial + 1

    wait_until(mended, DEADLINE_S, lambda: f"a partial sync\n{pair.replica.log_tail()}\n{pair.primary.log_tail()}")
    first, second = pair.digests()
    assert first == second
    assert int(pair.primary.info("stats")["sync_full"]) == full
    with pair.replica.client() as client:
        assert client.pipeline(("SELECT", 7), ("GET", "after"))[1] == "2"


def test_wait_counts_the_replica(pair: Pair) -> None:
    with pair.primary.client() as client:
        client.call("SET", "waited for", 1)
        assert client.call("WAIT", 1, 10_000) == 1
        assert pair.replica.call("GET", "waited for") == "1"
        client.call("SET", "waited for", 2)
        assert client.call("WAIT", 2, 100) == 1
        assert client.call("WAIT", 0, 0) == 1
    assert pair.primary.call("GET", "waited for") == "2"


def test_wait_lets_other_clients_through(pair: Pair) -> None:
    pair.replica.freeze()
    try:
        with pair.primary.client() as waiting, pair.primary.client() as other:
            waiting.call("SET", "k", 1)
            waiting.send("WAIT", 1, 0)
            assert other.call("SET", "other", 1) == "OK"
            pair.replica.thaw()
            assert waiting.receive() == 1
    finally:
        pair.replica.thaw()


def test_role_and_info_say_who_follows_whom(pair: Pair) -> None:
    pair.catch_up()
    role = pair.replica.call("ROLE")
    assert isinstance(role, list)
    assert role[:4] == ["slave", pair.primary.host, pair.primary.port, "connected"]
    role = pair.primary.call("ROLE")
    assert isinstance(role, list)
    assert role[0] == "master"
    assert [one[:2] for one in role[2]] == [[pair.replica.host, str(pair.replica.port)]]
    assert int(role[2][0][2]) <= role[1]

    above, below = pair.primary.info("replication"), pair.replica.info("replication")
    assert (above["role"], below["role"]) == ("master", "slave")
    assert above["connected_slaves"] == "1"
    assert f"port={pair.replica.port},state=online" in above["slave0"]
    assert (below["master_host"], below["master_port"]) == (pair.primary.host, str(pair.primary.port))
    assert below["master_replid"] == above["master_replid"]
    assert below["slave_read_only"] == "1"
    assert below["slave_repl_offset"] == below["master_repl_offset"]


def test_the_fields_of_info_are_those_of_redis(shared_harness: Harness, pair: Pair) -> None:
    """Whatever a monitor reads from redis-server's section is there."""
    reference = Pair(shared_harness.server(ALONE, kind="redis"), shared_harness.server(ALONE, kind="redis"))
    reference.join()
    for ours, theirs in ((pair.primary, reference.primary), (pair.replica, reference.replica)):
        assert set(theirs.info("replication")) - set(ours.info("replication")) == set()


def test_a_key_expires_at_the_primarys_word_only(pair: Pair) -> None:
    pair.primary.call("DEBUG", "SET-ACTIVE-EXPIRE", 0)
    try:
        pair.primary.call("SET", "short", 1, "PX", 1)
        pair.catch_up()
        wait_until(lambda: pair.replica.call("GET", "short") is None, DEADLINE_S, "a reader sees that it is past")
        assert pair.replica.call("DBSIZE") == pair.primary.call("DBSIZE"), "it is still there"
        before = int(pair.replica.info("replication")["master_repl_offset"])
        # A server may count the very millisecond of the deadline otherwise than the other.
        wait_until(lambda: pair.primary.call("GET", "short") is None, DEADLINE_S, "it is past there, too")
        pair.catch_up()
        assert int(pair.replica.info("replication")["master_repl_offset"]) > before
        assert pair.replica.call("DBSIZE") == pair.primary.call("DBSIZE")
    finally:
        pair.primary.call("DEBUG", "SET-ACTIVE-EXPIRE", 1)


def test_deadlines_arrive_as_points_in_time(pair: Pair) -> None:
    with pair.primary.client() as client:
        run(
            client, ("SET", "ex", 1, "EX", 1000), ("SETEX", "setex", 1000, 1), ("SET", "later", 1),
            ("EXPIRE", "later", 1000),
            ("SET", "getex", 1), ("GETEX", "getex", "PX", 1_000_000), ("SET", "none", 1, "EX", 10), ("PERSIST", "none"),
        )  # fmt: skip
    pair.catch_up()
    for key in ("ex", "setex", "later", "getex", "none"):
        assert pair.replica.call("PEXPIRETIME", key) == pair.primary.call("PEXPIRETIME", key), key


def test_a_transaction_arrives_whole(pair: Pair) -> None:
    """A reader of the replica sees all of it or nothing, and the replica complains of nothing."""
    with pair.primary.client() as writer, pair.replica.client() as reader:
        writer.call("MSET", "x", 0, "y", 0)
        pair.catch_up()
        for _ in range(100):
            run(writer, ("MULTI",), ("INCR", "x"), ("INCR", "y"), ("EXEC",))
            values = reader.call("MGET", "x", "y")
            assert isinstance(values, list)
            assert values[0] == values[1]
        run(writer, ("MULTI",), ("INCR", "x"), ("GET", "x"), ("EXEC",))
    first, second = pair.digests()
    assert first == second
    assert pair.replica.call("GET", "x") == "101"
    assert "CRITICAL" not in pair.replica.log()


def test_a_replica_takes_no_writes_unless_told(pair: Pair) -> None:
    with pytest.raises(ReplyError, match=r"^READONLY You can't write against a read only replica\."):
        pair.replica.call("SET", "k", 1)
    with pair.replica.client() as client:
        client.call("MULTI")
        assert "READONLY" in str(client.pipeline(("SET", "k", 1))[0])
        assert "EXECABORT" in str(client.pipeline(("EXEC",))[0])
    pair.replica.call("CONFIG", "SET", "replica-read-only", "no")
    try:
        assert pair.replica.call("SET", "written here", 1) == "OK"
        assert pair.primary.call("EXISTS", "written here") == 0
        assert pair.replica.call("DEL", "written here") == 1
    finally:
        pair.replica.call("CONFIG", "SET", "replica-read-only", "yes")


def test_random_members_and_counters_arrive_as_they_fell(pair: Pair) -> None:
    with pair.primary.client() as client:
        run(
            client, ("FLUSHALL",), ("SADD", "set", *range(50)), ("SPOP", "set"), ("SPOP", "set", 10),
            ("INCRBYFLOAT", "float", "3.14"), ("INCRBYFLOAT", "float", "1e-3"), ("HINCRBYFLOAT", "h", "f", "0.1"),
            ("SET", "other", "x", "GET"), ("GETDEL", "other"), ("APPEND", "text", "abc"), ("SETRANGE", "text", 5, "z"),
        )  # fmt: skip
    first, second = pair.digests()
    assert first == second


def test_a_password_is_needed_and_given(new_pair: Pair) -> None:
    new_pair.primary.call("CONFIG", "SET", "requirepass", "secret")
    new_pair.primary.directives["requirepass"] = "secret"
    new_pair.replica.call("REPLICAOF", new_pair.primary.host, new_pair.primary.port)
    wait_until(lambda: "NOAUTH" in new_pair.replica.log(), DEADLINE_S, "the replica says what is amiss")
    assert new_pair.replica.info("replication")["master_link_status"] == "down"
    new_pair.replica.call("CONFIG", "SET", "masterauth", "secret")
    new_pair.primary.call("SET", "k", "v")
    new_pair.catch_up()
    assert new_pair.replica.call("GET", "k") == "v"


def test_a_promoted_replica_goes_on_and_the_old_primary_continues_partially(new_pair: Pair) -> None:
    new_pair.primary.call("SET", "k", 1)
    new_pair.join()
    new_pair.catch_up()
    assert new_pair.replica.call("REPLICAOF", "NO", "ONE") == "OK"
    assert new_pair.replica.call("SET", "k", 2) == "OK"
    turned = Pair(new_pair.replica, new_pair.primary)
    turned.join()
    turned.catch_up()
    assert turned.replica.call("GET", "k") == "2"
    assert turned.primary.info("stats")["sync_partial_ok"] == "1"
    assert turned.primary.info("stats")["sync_full"] == "0"
    assert turned.primary.info("replication")["master_replid2"] != "0" * 40


def test_replicas_of_replicas_have_it_all(new_pair: Pair, harness: Harness) -> None:
    last = harness.server(ALONE)
    new_pair.join()
    with new_pair.primary.client() as client:
        run(client, ("SELECT", 2), ("SET", "a", 1))
        new_pair.catch_up()
        below = Pair(new_pair.replica, last)
        below.join()
        run(client, ("SET", "b", 2), ("MULTI",), ("SET", "c", 1), ("INCR", "c"), ("EXEC",))
        new_pair.catch_up()
        below.catch_up()
        assert last.call("DEBUG", "DIGEST") == new_pair.primary.call("DEBUG", "DIGEST")
    with last.client() as client:
        assert client.pipeline(("SELECT", 2), ("GET", "b"))[1] == "2"


def test_replicaof_in_the_file_holds_after_a_restart(new_pair: Pair) -> None:
    new_pair.join()
    new_pair.replica.call("CONFIG", "REWRITE")
    new_pair.replica.kill()
    new_pair.primary.call("SET", "k", 1)
    new_pair.replica.start()
    new_pair.catch_up()
    assert new_pair.replica.call("GET", "k") == "1"


def test_a_restart_of_either_over_its_file_is_a_partial_sync(new_pair: Pair) -> None:
    for server in (new_pair.primary, new_pair.replica):
        server.call("CONFIG", "SET", "save", "3600 1000")
        server.call("CONFIG", "REWRITE")
    new_pair.join()
    new_pair.primary.call("SET", "k", 1)
    new_pair.catch_up()
    new_pair.replica.call("CONFIG", "REWRITE")
    assert new_pair.replica.terminate() == 0
    new_pair.primary.call("SET", "k", 2)
    new_pair.replica.start()
    new_pair.catch_up()
    assert new_pair.replica.call("GET", "k") == "2"
    assert new_pair.primary.info("stats")["sync_partial_ok"] == "1"
    assert new_pair.primary.terminate() == 0
    new_pair.primary.start()
    new_pair.catch_up()
    assert new_pair.primary.info("stats")["sync_full"] == "0"
    assert new_pair.primary.info("stats")["sync_partial_ok"] == "1"


def test_a_replica_that_nobody_reads_from_gives_way(harness: Harness) -> None:
    """Its writes wake it thousands of times a second: it is not to push aside its primary, or a client, each time."""
    if harness.kind == "redis":
        pytest.skip("redis-server does not")
    pair = Pair(harness.server(ALONE), harness.server(ALONE))

    def wait_for(policy: int, what: str) -> None:
        wait_until(lambda: os.sched_getscheduler(pair.replica.pid) == policy, DEADLINE_S, lambda: what)

    pair.join()
    wait_for(os.SCHED_BATCH, "it gives way")
    assert os.sched_getscheduler(pair.primary.pid) == os.SCHED_OTHER
    with pair.replica.client() as client:

        def is_like_any_other() -> bool:
            client.pipeline(*[("GET", "key") for _ in range(1000)])
            return os.sched_getscheduler(pair.replica.pid) == os.SCHED_OTHER

        wait_until(is_like_any_other, DEADLINE_S, lambda: "who serves clients is like any other")
    wait_for(os.SCHED_BATCH, "it gives way again")
    pair.replica.call("REPLICAOF", "NO", "ONE")
    wait_for(os.SCHED_OTHER, "a primary does not")
