"""A replica under a broken or hostile primary: what it holds stays, its log says why in one line, it tries again.

The primary is a script of answers on a real socket; the replica is a real process.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import pytest

from cluster.config.store import Configuration
from cluster.keyspace.database import Database
from cluster.persistence.rdb_writer import write_rdb
from cluster.protocol.replies import request
from tests.system.harness import Harness, Server
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
REPLID = b"a" * 40
FULL = b"+FULLRESYNC " + REPLID + b" 100\r\n"
Script = Callable[[socket.socket], None]
"""What the primary does once PSYNC has come; then it hangs up."""


def snapshot(key: bytes, value: bytes) -> bytes:
    db = Database(0)
    db.store(key, value)
    return b"".join(write_rdb([db], Configuration([]), {}))


GOOD = snapshot(b"new", b"1")


class FalsePrimary:
    """Answers the handshake, then acts by its script, the last entry again and again."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connection: socket.socket | None = None
        self.syncs: list[bytes] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._connection is not None:
            with suppress(OSError):  # It may be closed already.
                self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection = connection
            connection.settimeout(DEADLINE_S)
            with connection, suppress(OSError):
                self._shake_hands(connection)
                script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
                script(connection)

    def _shake_hands(self, connection: socket.socket) -> None:
        while data := connection.recv(65536):
            if b"PSYNC" in data:
                self.syncs.append(data)
                return
            connection.sendall(b"+PONG\r\n" if b"PING" in data else b"+OK\r\n")
        raise ConnectionResetError


def says(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


def keeps_saying(data: bytes) -> Script:
    """And stays until the replica leaves."""

    def run(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(65536):
            pass

    return run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    harness = Harness("ours", tmp_path_factory.mktemp("replica"))
    try:
        yield harness.server({"cluster-enabled": "no", "repl-timeout": "1"})
    finally:
        harness.close()


@pytest.fixture
def replica(server: Server) -> Iterator[Server]:
    """Our node with a key of its own, following nobody, its log empty; afterwards without a trace of a fault."""
    os.truncate(server.log_path, 0)
    server.call("FLUSHALL")
    server.call("SET", "old", "kept")
    yield server
    server.call("REPLICAOF", "NO", "ONE")
    assert "BUG" not in server.log()
    assert "Traceback" not in server.log()


def follow(replica: Server, primary: FalsePrimary) -> None:
    replica.call("REPLICAOF", "127.0.0.1", primary.port)


LENGTH = b"$%d\r\n" % len(GOOD)
MARK = b"e" * 40


@pytest.mark.parametrize(("answer", "logged"), [
    (b"-ERR go away\r\n", "Unexpected reply to PSYNC"),
    (b"+FULLRESYNC nonsense\r\n", "Unexpected reply to PSYNC"),
    (b"x" * 5000, "an endless line"),
    (FULL + b"HTTP/1.1 400 Bad Request\r\n\r\n", "the first byte is not '$'"),
    (FULL + b"-ERR no memory\r\n", "aborted replication with an error"),
    (FULL + b"$EOF:short\r\n", "the EOF mark is broken"),
    (FULL + b"$20\r\n" + b"this is not an RDB!!", "Wrong signature"),
    (FULL + b"$9\r\nREDIS9999", "Can't handle RDB format version"),
    (FULL + b"$%d\r\n" % (len(GOOD) - 5) + GOOD[:-5], "Unexpected end of the data"),
    (FULL + LENGTH + GOOD[:-15], "connection closed"),
    (FULL + LENGTH + GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), "Wrong RDB checksum"),
    (FULL + b"$EOF:" + MARK + b"\r\n" + GOOD[:20] + MARK, "Unexpected end of the data"),
    (FULL + b"$999999999999999999\r\n" + GOOD, "connection closed"),
    (FULL + b"$99999999999999999999\r\n" + GOOD, "the first byte is not '$'"),
    (FULL.replace(b" 100", b" " + b"9" * 40), "Unexpected reply to PSYNC"),
], ids=lambda value: value[:40] if isinstance(value, str) else "")  # fmt: skip
def test_a_broken_sync_leaves_the_old_data_and_is_tried_again(replica: Server, answer: bytes, logged: str) -> None:
    with FalsePrimary(says(answer), says(answer), keeps_saying(FULL + LENGTH + GOOD)) as primary:
        follow(replica, primary)
        wait_until(lambda: len(primary.syncs) >= 2, DEADLINE_S, lambda: f"a second attempt\n{replica.log_tail()}")
        complaints = [line for line in replica.log().splitlines() if logged in line]
        assert complaints, replica.log_tail()
        assert replica.call("GET", "old") in ("kept", None)  # None: the third attempt may have come through already
        wait_until(lambda: replica.call("GET", "new") == "1", DEADLINE_S, lambda: f"whole\n{replica.log_tail()}")
        assert replica.call("GET", "old") is None
        assert len([line for line in replica.log().splitlines() if logged in line]) == 1, "one line a cause"
        assert not list(replica.directory.glob("temp-*"))


@pytest.mark.parametrize("host", [b"a..b", b"\xff\xfe", b"x" * 70])
def test_a_primary_whose_name_is_none_is_one_line(replica: Server, host: bytes) -> None:
    before = replica.log().count("is no name of a host")
    replica.call("REPLICAOF", host, 1)
    wait_until(
        lambda: replica.log().count("is no name of a host") > before, DEADLINE_S,
        lambda: f"a line\n{replica.log_tail()}",
    )
    assert "BUG" not in replica.log()


def test_the_old_data_stay_while_no_sync_succeeds(replica: Server) -> None:
    with FalsePrimary(says(FULL + LENGTH + GOOD[:20])) as primary:
        follow(replica, primary)
        wait_until(lambda: len(primary.syncs) >= 3, DEADLINE_S, lambda: f"attempts\n{replica.log_tail()}")
        assert replica.call("GET", "old") == "kept"
        assert replica.info("replication")["master_link_status"] == "down"


def test_the_log_names_the_cause_once_until_it_changes(replica: Server) -> None:
    def told() -> list[str]:
        return [line.rpartition(": ")[2] for line in replica.log().splitlines() if "Replication link with" in line]

    with FalsePrimary(says(b"-ERR go away\r\n")) as primary:
        follow(replica, primary)
        wait_until(lambda: len(primary.syncs) >= 4, DEADLINE_S, lambda: f"attempts\n{replica.log_tail()}")
        assert len(told()) == 1
    wait_until(lambda: "Connection refused" in told(), DEADLINE_S, lambda: f"the cause\n{replica.log_tail()}")


def test_the_primary_hears_of_us_while_we_load(replica: Server) -> None:
    heard: list[bytes] = []

    def run(connection: socket.socket) -> None:
        connection.sendall(FULL + LENGTH + GOOD)
        while b"".join(heard).count(b"ACK") < 2:
            heard.append(connection.recv(65536))

    with FalsePrimary(run) as primary:
        follow(replica, primary)
        wait_until(lambda: b"".join(heard).count(b"ACK") >= 2, DEADLINE_S, "an acknowledgement")
    loading, following = request([b"REPLCONF", b"ACK", b"0"]), request([b"REPLCONF", b"ACK", b"100"])
    assert b"".join(heard).startswith(loading + following)


@pytest.mark.parametrize(
    "answer", [b"", FULL, FULL + LENGTH + GOOD[:20], FULL + LENGTH + GOOD],
    ids=["after PSYNC", "after the header", "within the snapshot", "in the stream"],
)
def test_a_primary_that_falls_silent_is_given_up_after_its_time(replica: Server, answer: bytes) -> None:
    with FalsePrimary(keeps_saying(answer)) as primary:
        follow(replica, primary)
        wait_until(lambda: len(primary.syncs) >= 2, DEADLINE_S, lambda: f"a second attempt\n{replica.log_tail()}")
        assert "timeout" in replica.log()


@pytest.mark.parametrize("junk", [b"*1\r\n$-5\r\n", b"*99999999999\r\n", b"*1\r\n!!\r\n", b"\0\xff" * 40000])
def test_junk_in_the_stream_ends_the_link_and_what_came_before_counts(replica: Server, junk: bytes) -> None:
    write = request([b"SET", b"k", b"v"])
    with FalsePrimary(says(FULL + LENGTH + GOOD + write + junk), keeps_saying(b"+CONTINUE\r\n")) as primary:
        follow(replica, primary)
        wait_until(lambda: len(primary.syncs) >= 2, DEADLINE_S, lambda: f"a second attempt\n{replica.log_tail()}")
        assert replica.call("GET", "k") == "v"
        assert primary.syncs[1] == request([b"PSYNC", REPLID, b"%d" % (100 + len(write) + 1)])


def test_commands_that_fail_or_are_unknown_do_not_end_the_stream(replica: Server) -> None:
    commands = [
        [b"SET", b"k", b"v"], [b"INCR", b"k"], [b"NO-SUCH-COMMAND", b"x"], [b"SET"], [b"LPUSH", b"k", b"x"],
        [b"EXEC"], [b"SET", b"last", b"1"],
    ]  # fmt: skip
    stream = b"".join(map(request, commands))
    with FalsePrimary(keeps_saying(FULL + LENGTH + GOOD + stream)) as primary:
        follow(replica, primary)
        wait_until(lambda: replica.call("GET", "last") == "1", DEADLINE_S, lambda: f"the last\n{replica.log_tail()}")
        assert replica.call("GET", "k") == "v"
        assert replica.info("replication")["slave_repl_offset"] == str(100 + len(stream))


def test_half_a_transaction_is_not_carried_out(replica: Server) -> None:
    """The link breaks within MULTI: nothing of it counts, and the replica asks for it from its start."""
    half = b"".join(map(request, ([b"MULTI"], [b"SET", b"half", b"1"])))
    rest = b"".join(map(request, ([b"SET", b"other", b"1"], [b"EXEC"])))
    with FalsePrimary(
        says(FULL + LENGTH + GOOD + half), keeps_saying(b"+CONTINUE\r\n" + half + rest)
    ) as primary:
        follow(replica, primary)
        wait_until(lambda: replica.call("MGET", "half", "other") == ["1", "1"], DEADLINE_S, "the whole")
        assert primary.syncs[1] == request([b"PSYNC", REPLID, b"101"])
