"""MIGRATE between two of our nodes, and between ours and a redis-server, both ways.

Whatever goes wrong, no key is lost: it stays at the source until the target has said that it has it.
"""

from __future__ import annotations

import pytest

from cluster.bringup.client import Argument, ReplyError
from tests.system.harness import Harness, Server, ServerKind
from tests.system.test_rdb_exchange import KEYS, fill, seen
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
ALONE = {"cluster-enabled": "no"}
PAIRS: list[tuple[ServerKind, ServerKind]] = [("ours", "ours"), ("ours", "redis"), ("redis", "ours")]


class Route:
    """From one server to another."""

    def __init__(self, source: Server, target: Server) -> None:
        self.source = source
        self.target = target

    def migrate(self, key: Argument, *options: Argument, db: int = 0, timeout_ms: int = 5000) -> str:
        """MIGRATE's answer; an error comes back as its text."""
        with self.source.client(timeout_s=DEADLINE_S) as client:
            answer = client.pipeline(
                ("MIGRATE", self.target.host, self.target.port, key, db, timeout_ms, *options)
            )[0]
        return str(answer)

    def values(self, key: str = "k") -> tuple[object, object]:
        """The key here and there."""
        return self.source.call("GET", key), self.target.call("GET", key)


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def servers(request: pytest.FixtureRequest, shared_harness: Harness) -> Route:
    first, second = request.param
    return Route(shared_harness.server(ALONE, kind=first), shared_harness.server(ALONE, kind=second))


@pytest.fixture
def route(servers: Route) -> Route:
    """Two empty servers."""
    for server in (servers.source, servers.target):
        server.call("FLUSHALL")
    return servers


def test_one_key_goes_over_with_its_deadline(route: Route) -> None:
    route.source.call("SET", "k", "v", "EX", 1000)
    assert route.migrate("k") == "OK"
    assert route.values() == (None, "v")
    left = route.target.call("PTTL", "k")
    assert isinstance(left, int)
    assert 900_000 < left <= 1_000_000


def test_a_key_goes_to_the_database_that_was_named(route: Route) -> None:
    for db in (3, 0, 3):  # the connection is kept: each has to be selected anew
        route.source.call("SET", "k", f"for {db}")
        assert route.migrate("k", "REPLACE", db=db) == "OK"
    with route.target.client() as client:
        assert client.call("GET", "k") == "for 0"
        client.call("SELECT", 3)
        assert client.call("GET", "k") == "for 3"


def test_many_keys_of_every_type_go_over_at_once(route: Route) -> None:
    fill(route.source)
    before = {key: seen(route.source, key) for key in KEYS}
    assert route.migrate("", "KEYS", *KEYS) == "OK"
    assert route.source.call("DBSIZE") == 0
    for key in KEYS:
        kind, content, deadline = before[key]
        found = seen(route.target, key)
        assert found[:2] == (kind, content), key
        assert isinstance(deadline, int)
        assert isinstance(found[2], int)
        assert (found[2] > 0) == (deadline > 0), key
        assert abs(found[2] - deadline) < 5000, key


def test_keys_that_are_not_there_are_left_out(route: Route) -> None:
    assert route.migrate("k") == "NOKEY"
    assert route.migrate("", "KEYS", "k", "l") == "NOKEY"
    route.source.call("SET", "k", "v")
    assert route.migrate("", "KEYS", "missing", "k") == "OK"
    assert route.values() == (None, "v")


def test_copy_leaves_the_key_and_replace_overwrites(route: Route) -> None:
    route.source.call("SET", "k", "v")
    assert route.migrate("k", "COPY") == "OK"
    assert route.values() == ("v", "v")
    route.source.call("SET", "k", "w")
    assert route.migrate("k", "COPY", "REPLACE") == "OK"
    assert route.values() == ("w", "w")
    assert route.migrate("k", "REPLACE") == "OK"
    assert route.values() == (None, "w")


def test_a_key_that_is_there_is_not_overwritten(route: Route) -> None:
    route.source.call("MSET", "k", "new", "other", "1")
    route.target.call("SET", "k", "old")
    refusal = "ERR Target instance replied with error: BUSYKEY Target key name already exists."
    assert route.migrate("k") == refusal
    assert route.values() == ("new", "old")
    assert route.migrate("", "KEYS", "k", "other") == refusal
    assert route.values() == ("new", "old")
    assert route.values("other") == (None, "1"), "the other one is over all the same"


def test_the_target_may_ask_for_a_password(route: Route) -> None:
    target = route.target
    target.call("CONFIG", "SET", "requirepass", "secret")
    target.directives["requirepass"] = "secret"
    try:
        for number, options in enumerate([("AUTH", "secret"), ("AUTH2", "default", "secret")]):
            route.source.call("SET", f"k{number}", "v")
            assert route.migrate(f"k{number}", *options) == "OK"
            assert target.call("GET", f"k{number}") == "v"
        route.source.call("SET", "k", "v")
        for options in (("AUTH", "wrong"), ("AUTH2", "default", "wrong"), ("AUTH2", "nobody", "secret")):
            assert route.migrate("k", *options).startswith("ERR Target instance replied with error: WRONGPASS")
            assert route.source.call("GET", "k") == "v"
            if route.source.kind == "ours":  # redis-server sends the key over a connection that was let in before
                assert target.call("EXISTS", "k") == 0
    finally:
        target.call("CONFIG", "SET", "requirepass", "")
        target.directives["requirepass"] = ""


@pytest.mark.parametrize("options", [
    ("KEYS",), ("KEYS", "a"), ("COLOUR",), ("AUTH",), ("AUTH2", "a"), ("COPY", "COPY"), ("REPLACE", "KEYS", "k"),
])  # fmt: skip
def test_what_is_refused_is_refused_as_by_redis(route: Route, options: tuple[str, ...], reference: Server) -> None:
    for server in (route.source, reference):
        server.call("SET", "k", "v")
    theirs = Route(reference, reference)
    for key in ("k", "", "missing"):
        answers = [one.migrate(key, *options, timeout_ms=1) for one in (route, theirs)]
        if answers[1] == "OK" or "Target instance" in answers[1] or "IOERR" in answers[1]:
            continue  # it was understood; the reference had no other server to send to
        assert answers[0] == answers[1], (key, options)


@pytest.mark.parametrize("arguments", [
    ("x", "missing", 0, 1), ("", "missing", 0, 1), ("x", "missing", "y", 1), ("1", "missing", 0, "y"),
    ("1", "missing", -1, 1), ("99999999999999999999", "missing", 0, 1),
])  # fmt: skip
def test_arguments_are_looked_at_in_the_order_of_redis(
    route: Route, arguments: tuple[Argument, ...], reference: Server
) -> None:
    answers = []
    for server in (route.source, reference):
        with server.client() as client:
            answers.append(str(client.pipeline(("MIGRATE", "127.0.0.1", *arguments))[0]))
    assert answers[0] == answers[1]


def in_transaction(route: Route, *commands: tuple[Argument, ...]) -> list[str]:
    """What each command is answered by EXEC; (MIGRATE …) goes to the target."""
    host, port = route.target.host, route.target.port
    sent = [("MIGRATE", host, port, *rest) if name == "MIGRATE" else (name, *rest) for name, *rest in commands]
    with route.source.client(timeout_s=DEADLINE_S) as client:
        answers = client.pipeline(("MULTI",), *sent, ("EXEC",))[-1]
    assert isinstance(answers, list), answers
    return list(map(str, answers))


def test_a_transaction_may_migrate(route: Route) -> None:
    fill(route.source)
    before = {key: seen(route.source, key)[:2] for key in KEYS}
    answers = in_transaction(
        route, ("SET", "k", "v"), ("MIGRATE", "k", 3, 5000), ("EXISTS", "k"), ("MIGRATE", "k", 3, 5000),
        ("MIGRATE", "", 0, 5000, "KEYS", *KEYS), ("DBSIZE",),
    )  # fmt: skip
    assert answers == ["OK", "OK", "0", "NOKEY", "OK", "0"]
    assert {key: seen(route.target, key)[:2] for key in KEYS} == before
    with route.target.client() as client:
        client.call("SELECT", 3)
        assert client.call("GET", "k") == "v"


def test_a_migration_that_fails_in_a_transaction_costs_no_key(route: Route) -> None:
    route.source.call("MSET", "k", "new", "other", 1)
    route.target.call("SET", "k", "old")
    answers = in_transaction(route, ("MIGRATE", "", 0, 5000, "KEYS", "k", "other"), ("GET", "k"))
    assert answers == ["ERR Target instance replied with error: BUSYKEY Target key name already exists.", "new"]
    assert route.values("other") == (None, "1")
    route.target.freeze()
    try:
        answers = in_transaction(route, ("MIGRATE", "k", 0, 200, "REPLACE"), ("GET", "k"))
    finally:
        route.target.thaw()
    assert answers[0].startswith("IOERR error or timeout")
    assert answers[1] == "new"


@pytest.fixture(scope="module")
def reference(shared_harness: Harness) -> Server:
    return shared_harness.server(ALONE, kind="redis")


def test_a_target_that_hangs_costs_the_timeout_and_no_key(route: Route) -> None:
    for warm in (False, True):  # over a new connection, and over one that is kept
        route.source.call("SET", "k", "v")
        route.target.freeze()
        try:
            assert route.migrate("k", timeout_ms=200).startswith("IOERR error or timeout")
            assert route.source.call("GET", "k") == "v"
        finally:
            route.target.thaw()
        # What was under way may have arrived once the target went on.
        assert route.migrate("k", "REPLACE") == "OK", f"warm: {warm}"
        assert route.values() == (None, "v")


def test_other_clients_are_served_while_a_target_hangs(harness: Harness) -> None:
    """redis-server stands still here; our node does not."""
    source, target = harness.server(ALONE, kind="ours"), harness.server(ALONE, kind="ours")
    source.call("SET", "k", "v")
    target.freeze()
    with source.client(timeout_s=DEADLINE_S) as migrating, source.client() as other:
        migrating.send("MIGRATE", target.host, target.port, "k", 0, 10_000)
        assert other.call("GET", "k") == "v"
        assert other.call("SET", "k", "changed meanwhile") == "OK"
        target.thaw()
        assert migrating.receive() == "OK"
    assert Route(source, target).values() == (None, "changed meanwhile")


def test_a_target_that_is_down_or_has_been_restarted(harness: Harness) -> None:
    source, target = harness.server(ALONE, kind="ours"), harness.server(ALONE, kind="redis")
    route = Route(source, target)
    source.call("MSET", "k", "v", "l", "v")
    assert route.migrate("k") == "OK"
    target.kill()
    assert route.migrate("l").startswith("IOERR error or timeout writing")
    assert source.call("GET", "l") == "v"
    target.start()
    assert route.migrate("l") == "OK"
    target.kill()
    target.start()
    source.call("SET", "m", "v")
    assert route.migrate("m") == "OK", "the kept connection is dead, a new one is not"
    assert route.values("m") == (None, "v")


def test_an_unknown_host_and_a_refused_port(harness: Harness) -> None:
    source = harness.server(ALONE, kind="ours")
    source.call("SET", "k", "v")
    for host, port in (("127.0.0.1", harness.free_port()), ("no-such-host.invalid", 6379)):
        with source.client(timeout_s=DEADLINE_S) as client:
            assert "IOERR" in str(client.pipeline(("MIGRATE", host, port, "k", 0, 2000))[0])
    assert source.call("GET", "k") == "v"


def test_two_servers_migrate_to_each_other_at_once(harness: Harness) -> None:
    first, second = harness.server(ALONE, kind="ours"), harness.server(ALONE, kind="ours")
    first.call("SET", "a", 1)
    second.call("SET", "b", 2)
    with first.client() as one, second.client() as other:
        one.send("MIGRATE", second.host, second.port, "a", 0, 5000)
        other.send("MIGRATE", first.host, first.port, "b", 0, 5000)
        assert (one.receive(), other.receive()) == ("OK", "OK")
    assert (first.call("GET", "b"), second.call("GET", "a")) == ("2", "1")


def test_a_replica_hears_that_a_key_has_left(harness: Harness) -> None:
    source, replica, target = (harness.server(ALONE, kind="ours") for _ in range(3))
    replica.call("REPLICAOF", source.host, source.port)
    with source.client() as client:
        client.call("SET", "k", "v")
        wait_until(lambda: replica.call("GET", "k") == "v", DEADLINE_S, "the replica has it")
        assert Route(source, target).migrate("k") == "OK"
        assert client.call("WAIT", 1, 10_000) == 1
        wait_until(lambda: replica.call("EXISTS", "k") == 0, DEADLINE_S, "the replica has it no more")
        assert in_transaction(Route(source, target), ("SET", "l", "v"), ("MIGRATE", "l", 0, 5000)) == ["OK", "OK"]
        assert client.call("WAIT", 1, 10_000) == 1
        assert replica.call("EXISTS", "l") == 0
    with pytest.raises(ReplyError, match="READONLY"):
        replica.call("MIGRATE", target.host, target.port, "k", 0, 1000)
