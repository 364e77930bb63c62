"""What a connection is told about itself and others: HELLO, AUTH, SELECT, RESET, and CLIENT with its subcommands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.protocol.replies import request
from tests.commands.in_process import Client, InProcessNode
from tests.commands.whole import WholeNode
from tests.keyspace.test_memory import VALUE, limited

WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
NOAUTH = "NOAUTH Authentication required."


@pytest.fixture
def locked() -> InProcessNode:
    """A node that wants the password `secret`."""
    return InProcessNode(("requirepass", "secret"))


@pytest.fixture
def whole(tmp_path: Path) -> WholeNode:
    return WholeNode(tmp_path)


def shown(client: Client | InProcessNode, *command: str | int) -> list[dict[str, str]]:
    """The lines of CLIENT LIST or INFO, as fields."""
    text = client(*(command or ("CLIENT", "LIST")))
    return [dict(field.split("=", 1) for field in line.split(" ")) for line in text.decode().splitlines()]


def me(client: Client | InProcessNode) -> dict[str, str]:
    return shown(client, "CLIENT", "INFO")[0]


# -- HELLO, AUTH -------------------------------------------------------------------------------------------------


def test_ping_and_echo(node: InProcessNode) -> None:
    assert node("PING") == b"PONG"
    assert node("PING", "hi") == b"hi"
    assert node("ECHO", "") == b""
    assert node.error("ECHO") == "ERR wrong number of arguments for 'echo' command"


def test_hello_tells_about_the_server_and_changes_nothing(node: InProcessNode) -> None:
    reply = node("HELLO")
    facts = dict(zip(reply[::2], reply[1::2], strict=True))
    assert facts == {
        b"server": b"redis", b"version": b"7.2.4", b"proto": 2, b"id": 1, b"mode": b"standalone", b"role": b"master",
        b"modules": [],
    }
    assert node("GET", "missing") is None
    assert node.client.raw("GET", "missing") == b"$-1\r\n"


def test_hello_3_speaks_the_new_protocol_from_its_own_reply_on(cluster_node: InProcessNode) -> None:
    facts = cluster_node("HELLO", 3)
    assert facts[b"proto"] == 3
    assert facts[b"mode"] == b"cluster"
    assert cluster_node.client.raw("GET", "missing") == b"_\r\n"
    cluster_node("HELLO", 2)
    assert cluster_node.client.raw("GET", "missing") == b"$-1\r\n"


def test_hello_can_name_the_connection(node: InProcessNode) -> None:
    node("HELLO", 3, "SETNAME", "worker")
    assert node("CLIENT", "GETNAME") == b"worker"


def test_a_hello_that_fails_changes_nothing(node: InProcessNode) -> None:
    assert node.error("HELLO", 4) == "NOPROTO unsupported protocol version"
    assert node.error("HELLO", 3, "SETNAME", "a b").startswith("ERR Client names cannot contain spaces")
    assert node.error("HELLO", 3, "SETNAME", "a", "NONSENSE") == "ERR Syntax error in HELLO option 'NONSENSE'"
    assert node.client.raw("GET", "missing") == b"$-1\r\n"
    assert node("CLIENT", "GETNAME") is None


def test_nothing_runs_before_the_password(locked: InProcessNode) -> None:
    assert locked.error("GET", "a") == NOAUTH
    assert locked.error("PING") == NOAUTH
    assert locked.error("HELLO", 3).startswith("NOAUTH HELLO must be called with the client already authenticated")
    assert locked.error("AUTH", "wrong") == WRONGPASS
    assert locked("AUTH", "secret") == b"OK"
    assert locked("PING") == b"PONG"


def test_auth_with_a_user(locked: InProcessNode) -> None:
    assert locked.error("AUTH", "default", "wrong") == WRONGPASS
    assert locked.error("AUTH", "somebody", "secret") == WRONGPASS
    assert locked("AUTH", "default", "secret") == b"OK"


def test_hello_may_log_in(locked: InProcessNode) -> None:
    assert locked.error("HELLO", 3, "AUTH", "default", "wrong") == WRONGPASS
    assert locked("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "x")[b"proto"] == 3
    assert locked("CLIENT", "GETNAME") == b"x"


def test_without_a_password_auth_is_a_mistake_but_any_will_do_for_the_user(node: InProcessNode) -> None:
    assert node.error("AUTH", "secret").startswith("ERR AUTH <password> called without any password configured")
    assert node("AUTH", "default", "whatever") == b"OK"


def test_quit_closes_after_its_reply(node: InProcessNode) -> None:
    other = node.connect()
    other.session.receive(request([b"QUIT"]) + request([b"PING"]))
    assert other.received() == b"+OK\r\n"
    assert other.session.closing


def test_select(node: InProcessNode) -> None:
    node("SET", "a", "1")
    assert node("SELECT", 1) == b"OK"
    assert node("GET", "a") is None
    assert node.error("SELECT", 16) == "ERR DB index is out of range"
    assert node.error("SELECT", "x") == "ERR value is not an integer or out of range"
    assert me(node)["db"] == "1"


def test_there_is_one_database_in_a_cluster(cluster_node: InProcessNode) -> None:
    assert cluster_node("SELECT", 0) == b"OK"
    assert cluster_node.error("SELECT", 1) == "ERR SELECT is not allowed in cluster mode"


def test_reset_takes_everything_back(locked: InProcessNode) -> None:
    locked("AUTH", "secret")
    locked("SELECT", 2)
    locked("HELLO", 3, "SETNAME", "x")
    locked("CLIENT", "NO-EVICT", "ON")
    locked("WATCH", "a")
    locked("MULTI")
    assert locked.client.raw("RESET") == b"+RESET\r\n"
    assert locked.error("PING") == NOAUTH
    locked("AUTH", "secret")
    fields = me(locked)
    assert (fields["db"], fields["name"], fields["resp"], fields["flags"], fields["watch"]) == ("0", "", "2", "N", "0")


# -- CLIENT ------------------------------------------------------------------------------------------------------


def test_ids_rise_and_stay(node: InProcessNode) -> None:
    others = [node.connect() for _ in range(3)]
    assert [client("CLIENT", "ID") for client in (node.client, *others)] == [1, 2, 3, 4]
    node.server.disconnect(others[2].session)
    assert node.connect()("CLIENT", "ID") == 5


def test_names(node: InProcessNode) -> None:
    assert node("CLIENT", "GETNAME") is None
    assert node("CLIENT", "SETNAME", "a-name") == b"OK"
    assert node("CLIENT", "GETNAME") == b"a-name"
    assert node("CLIENT", "SETNAME", "") == b"OK"
    assert node("CLIENT", "GETNAME") is None
    for name in ("a b", "a\nb", "\x7f", "ä"):
        assert node.error("CLIENT", "SETNAME", name) == (
            "ERR Client names cannot contain spaces, newlines or special characters."
        )


def test_a_library_tells_its_name_and_version(node: InProcessNode) -> None:
    assert node("CLIENT", "SETINFO", "lib-name", "redis-py") == b"OK"
    assert node("CLIENT", "SETINFO", "LIB-VER", "5.0") == b"OK"
    assert node.error("CLIENT", "SETINFO", "lib-name", "a b") == (
        "ERR lib-name cannot contain spaces, newlines or special characters."
    )
    assert node.error("CLIENT", "SETINFO", "lib-size", "1") == "ERR Unrecognized option 'lib-size'"
    fields = me(node)
    assert (fields["lib-name"], fields["lib-ver"]) == ("redis-py", "5.0")


def test_info_describes_this_connection(node: InProcessNode) -> None:
    node("CLIENT", "SETNAME", "x")
    node.advance(5_500)
    node("WATCH", "a", "b")
    fields = me(node)
    assert {name: fields[name] for name in ("id", "addr", "name", "age", "db", "multi", "watch", "cmd", "user")} == {
        "id": "1", "addr": "127.0.0.1:50000", "name": "x", "age": "5", "db": "0", "multi": "-1", "watch": "2",
        "cmd": "client|info", "user": "default",
    }


def test_list_shows_what_each_connection_does(node: InProcessNode) -> None:
    busy, waiting, monitor = node.connect(), node.connect(), node.connect()
    busy("MULTI")
    busy("SET", "a", "1")
    waiting("BLPOP", "queue", 0)
    monitor("MONITOR")
    node.advance(3_000)
    fields = {one["id"]: one for one in shown(node)}
    assert [fields[key]["flags"] for key in ("1", "2", "3", "4")] == ["N", "x", "b", "O"]
    assert fields["2"]["multi"] == "1"
    assert [fields[key]["cmd"] for key in ("1", "3", "4")] == ["client|list", "blpop", "monitor"]
    assert fields["3"]["idle"] == "3"


def test_list_of_some(node: InProcessNode) -> None:
    for _ in range(3):
        node.connect()
    assert [one["id"] for one in shown(node, "CLIENT", "LIST", "ID", 3, 99, 1)] == ["3", "1"]
    assert [one["id"] for one in shown(node, "CLIENT", "LIST", "TYPE", "normal")] == ["1", "2", "3", "4"]
    assert node("CLIENT", "LIST", "TYPE", "replica") == b""
    assert node("CLIENT", "LIST", "TYPE", "pubsub") == b""


def test_kill_by_address_is_of_one(whole: WholeNode) -> None:
    other = whole.server.connect(address="10.0.0.1:4000")
    assert whole.error("CLIENT", "KILL", "10.0.0.1:4001") == "ERR No such client"
    assert whole("CLIENT", "KILL", "10.0.0.1:4000") == b"OK"
    assert whole.hung_up == [other]


def test_kill_spares_the_one_who_asks_unless_told(whole: WholeNode) -> None:
    others = [whole.connect().session for _ in range(2)]
    assert whole("CLIENT", "KILL", "TYPE", "normal") == 2
    assert whole.hung_up == others
    assert whole("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == 1
    assert whole.client.session.closing


def test_kill_wants_all_conditions_to_hold(whole: WholeNode) -> None:
    old = whole.server.connect(address="10.0.0.1:1", local_address="10.0.0.9:7000").id
    whole.advance(10_000)
    whole("PING")
    young = whole.server.connect(address="10.0.0.2:1", local_address="10.0.0.9:7000").id
    assert whole("CLIENT", "KILL", "ID", young, "ADDR", "10.0.0.1:1") == 0
    assert whole("CLIENT", "KILL", "LADDR", "10.0.0.9:7000", "MAXAGE", 10) == 1
    assert [one.id for one in whole.hung_up] == [old]
    assert whole("CLIENT", "KILL", "USER", "default", "ID", young) == 1
    assert whole.error("CLIENT", "KILL", "MAXAGE", 0) == "ERR maxage should be greater than 0"


def test_replies_off_on_and_skipped(node: InProcessNode) -> None:
    assert node.client.raw("CLIENT", "REPLY", "OFF") == b""
    assert node.client.raw("SET", "a", "1") == b""
    assert node.client.raw("CLIENT", "REPLY", "SKIP") == b""
    assert node.client.raw("NONSENSE") == b""
    assert node("CLIENT", "REPLY", "ON") == b"OK"
    assert node.client.raw("CLIENT", "REPLY", "SKIP") == b""
    assert node.client.raw("SET", "b", "2") == b""
    assert node("MGET", "a", "b") == [b"1", b"2"]


def test_pause_holds_all_but_client_commands(node: InProcessNode) -> None:
    other = node.connect()
    assert node("CLIENT", "PAUSE", 100) == b"OK"
    assert other("GET", "a") is None
    assert other.session.is_waiting
    assert node("CLIENT", "UNPAUSE") == b"OK"
    assert other.received() == b"$-1\r\n"


def test_while_writes_are_paused_nothing_is_evicted() -> None:
    node = limited("allkeys-lru")
    node("CLIENT", "PAUSE", 100, "WRITE")
    for number in range(2000):
        node.server.databases[0].store(b"%d" % number, VALUE)
    node.server.memory.configure()
    assert node.journaled("SET", "a", "1") == []
    assert node.connect()("DBSIZE") == 2000


def test_pause_of_writes_lets_reads_pass(node: InProcessNode) -> None:
    writer = node.connect()
    node("CLIENT", "PAUSE", 100, "WRITE")
    assert node.client.raw("GET", "a") == b"$-1\r\n"
    assert writer.raw("SET", "a", "1") == b""
    assert node.client.raw("GET", "a") == b"$-1\r\n"
    node("CLIENT", "UNPAUSE")
    assert writer.received() == b"+OK\r\n"
    assert node("GET", "a") == b"1"


def test_nothing_expires_in_a_pause(node: InProcessNode) -> None:
    node("SET", "a", "1", "PX", 10)
    node("CLIENT", "PAUSE", 1000, "WRITE")
    node.advance(50)
    node("GET", "a")
    assert node("DBSIZE") == 1
    node("CLIENT", "UNPAUSE")
    assert node("GET", "a") is None
    assert node("DBSIZE") == 0


def test_unblock(node: InProcessNode) -> None:
    waiting = node.connect()
    number = waiting("CLIENT", "ID")
    assert node("CLIENT", "UNBLOCK", number) == 0
    waiting("BLPOP", "queue", 0)
    assert node("CLIENT", "UNBLOCK", number) == 1
    assert waiting.received() == b"*-1\r\n"
    waiting("BLPOP", "queue", 0)
    assert node("CLIENT", "UNBLOCK", number, "ERROR") == 1
    assert waiting.received() == b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
    assert waiting("PING") == b"PONG"


def test_a_paused_client_is_not_blocked(node: InProcessNode) -> None:
    waiting = node.connect()
    node("CLIENT", "PAUSE", 100)
    waiting("PING")
    assert node("CLIENT", "UNBLOCK", waiting.session.id) == 0


@pytest.mark.parametrize(("word", "flag"), [("NO-EVICT", "e"), ("NO-TOUCH", "T")])
def test_switches(node: InProcessNode, word: str, flag: str) -> None:
    assert node("CLIENT", word, "ON") == b"OK"
    assert me(node)["flags"] == flag
    assert node("CLIENT", word, "off") == b"OK"
    assert me(node)["flags"] == "N"
    assert node.error("CLIENT", word, "maybe") == "ERR syntax error"


def test_there_is_no_redirection(node: InProcessNode) -> None:
    assert node("CLIENT", "GETREDIR") == -1


def test_help_names_every_subcommand(node: InProcessNode) -> None:
    assert node.error("CLUSTER", "HELP") == "ERR This instance has cluster support disabled"
    node = InProcessNode(("cluster-enabled", "yes"))
    for container in ("CLIENT", "CONFIG", "CLUSTER", "COMMAND", "MEMORY", "OBJECT", "SLOWLOG"):
        text = b"\n".join(node(container, "HELP")).decode()
        entry = node.server.table.find(container.encode())
        assert entry is not None
        unnamed = [one.name for one in entry.subcommands.values() if one.name.upper() not in text]
        assert unnamed in ([], ["help"], ["slaves"]), container
