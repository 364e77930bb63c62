"""Access control with real processes: connections that are cut, files, redis-cli, servers that log in to servers."""

from __future__ import annotations

import subprocess

import pytest

from cluster.bringup.client import ReplyError
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
ALONE = {"cluster-enabled": "no"}
REPLICATION_USER = "link on >secret +psync +replconf +ping"
MIGRATION_USER = "mover on >secret ~k* +restore +restore-asking +select +ping"


@pytest.fixture
def server(harness: Harness) -> Server:
    return harness.server(ALONE)


def cli(server: Server, *words: str) -> str:
    run = subprocess.run(
        ["redis-cli", "-p", str(server.port), "--no-auth-warning", *words], capture_output=True, text=True, check=False,
        timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return (run.stdout + run.stderr).strip()


def refusal(server: Server, *command: str) -> str:
    with pytest.raises(ReplyError) as refused:
        server.call(*command)
    return str(refused.value)


def test_connections_of_a_deleted_user_are_closed(server: Server) -> None:
    server.call("ACL", "SETUSER", "u", "on", "nopass", "+@all", "~*", "&*")
    with server.client() as client, server.client() as listener:
        client.call("AUTH", "u", "x")
        client.call("SET", "k", "v")
        listener.call("AUTH", "u", "x")
        listener.call("SUBSCRIBE", "news")
        server.call("ACL", "SETUSER", "u", "resetchannels")
        with pytest.raises(OSError):
            listener.receive()
        assert client.call("GET", "k") == "v"
        assert server.call("ACL", "DELUSER", "u") == 1
        with pytest.raises(OSError):
            client.call("GET", "k")


def test_redis_cli_logs_in_as_a_user(server: Server) -> None:
    assert cli(server, "ACL", "SETUSER", "reader", "on", ">secret", "~a*", "+get") == "OK"
    login = ("--user", "reader", "--pass", "secret")
    assert cli(server, *login, "SET", "a", "1").startswith("NOPERM")
    assert cli(server, *login, "GET", "b").startswith("NOPERM")
    assert cli(server, *login, "GET", "a") == ""
    assert "WRONGPASS" in cli(server, "--user", "reader", "--pass", "wrong", "GET", "a")


def test_monitor_shows_nothing_of_users(server: Server) -> None:
    with server.client() as monitor, server.client() as client:
        monitor.call("MONITOR")
        client.call("ACL", "SETUSER", "u", "on", ">hunter2", "+@all")
        client.call("AUTH", "u", "hunter2")
        client.call("ECHO", "done")
        lines = [str(monitor.receive())]
        while "done" not in lines[-1]:
            lines.append(str(monitor.receive()))
    assert "hunter2" not in "".join(lines)


def test_the_aclfile_outlives_the_process(harness: Harness) -> None:
    server = harness.server({**ALONE, "aclfile": "users.acl"}, start=False)
    server.directory.mkdir(parents=True)
    path = server.directory / "users.acl"
    path.write_text("user a on nopass ~* +@all\n")
    server.start()
    server.call("ACL", "SETUSER", "b", "on", ">x", "(~k +get)")
    assert server.call("ACL", "SAVE") == "OK"
    assert server.call("CONFIG", "REWRITE") == "OK"
    before = server.call("ACL", "LIST")
    server.kill()
    server.start()
    assert server.call("ACL", "LIST") == before
    assert "user" not in {line.partition(" ")[0] for line in (server.directory / "node.conf").read_text().splitlines()}


def test_users_in_the_configuration_are_rewritten(harness: Harness) -> None:
    server = harness.server({**ALONE, "user": "a on nopass ~k* +@read"})
    server.call("ACL", "SETUSER", "a", "+set")
    server.call("ACL", "SETUSER", "b", "on", ">x", "~b")
    assert server.call("CONFIG", "REWRITE") == "OK"
    before = server.call("ACL", "LIST")
    server.kill()
    server.start()
    assert server.call("ACL", "LIST") == before


@pytest.mark.parametrize(
    ("directives", "users", "told"),
    [
        ({"user": "a on +nosuch"}, None, "Unknown command or category name in ACL"),
        ({"user": "a on", "aclfile": "users.acl"}, "", "or declare users directly"),
        ({"aclfile": "users.acl"}, "user a on foo\n", "users.acl:1: Syntax error."),
        ({"aclfile": "users.acl"}, None, "opening file"),
    ],
)
def test_users_that_cannot_be_had_end_the_start(
    harness: Harness, directives: dict[str, str], users: str | None, told: str
) -> None:
    server = harness.server({**ALONE, **directives}, start=False)
    server.directory.mkdir(parents=True)
    if users is not None:
        (server.directory / "users.acl").write_text(users)
    server.start(wait=False)
    assert server.wait_end() == 1
    assert told in server.log()


def test_a_replica_logs_in_as_a_user_of_its_own(harness: Harness) -> None:
    """With no more rights than replication needs; what it is sent it obeys, whatever its users may do."""
    primary = harness.server({**ALONE, "user": REPLICATION_USER})
    replica = harness.server({
        **ALONE, "replicaof": f"127.0.0.1 {primary.port}", "masteruser": "link", "masterauth": "secret",
        "user": "default on nopass ~* &* +@all -set",
    })
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up", DEADLINE_S, "the link is up")
    primary.call("SET", "k", "v")
    wait_until(lambda: replica.call("GET", "k") == "v", DEADLINE_S, "the write has come")
    assert refusal(replica, "SET", "k", "x").startswith("NOPERM")
    with primary.client() as client:
        client.call("AUTH", "link", "secret")
        with pytest.raises(ReplyError, match="NOPERM"):
            client.call("GET", "k")


@pytest.fixture
def movers(harness: Harness) -> tuple[Server, Server]:
    source = harness.server(ALONE)
    return source, harness.server({**ALONE, "user": MIGRATION_USER})


def test_migrate_logs_in_as_a_user(movers: tuple[Server, Server]) -> None:
    source, target = movers
    source.call("MSET", "k1", "v", "x1", "v")
    address = ("127.0.0.1", str(target.port))
    login = ("AUTH2", "mover", "secret")
    assert source.call("MIGRATE", *address, "k1", "0", "1000", *login) == "OK"
    assert target.call("GET", "k1") == "v"
    told = refusal(source, "MIGRATE", *address, "x1", "0", "1000", *login)
    assert told.startswith("ERR Target instance replied with error: NOPERM")
    assert source.call("GET", "x1") == "v"
