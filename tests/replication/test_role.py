"""The primary's side of PSYNC as a replica sees it, byte by byte, and what becomes of a history when roles change."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from cluster.network.session import Session
from cluster.persistence.rdb_reader import Entry, load_rdb
from cluster.protocol.replies import request
from cluster.replication import held_stream
from cluster.replication.role import NO_ID
from tests.commands.in_process import Client, InProcessNode

SELECT_0 = request([b"SELECT", b"0"])


@dataclass
class Snapshot:
    replid: str
    offset: int
    entries: list[Entry]
    aux: dict[str, str]
    rest: bytes


def full_sync(replica: Client, *, capabilities: tuple[str, ...] = ("eof", "psync2")) -> Snapshot:
    """Ask for everything, and take it apart."""
    for one in capabilities:
        assert replica("REPLCONF", "capa", one) == b"OK"
    return parse_full_sync(replica.raw("PSYNC", "?", -1))


def parse_full_sync(data: bytes) -> Snapshot:
    line, _, rest = data.partition(b"\r\n")
    word, replid, offset = line.decode().split()
    assert word == "+FULLRESYNC"
    size, _, rest = rest.partition(b"\r\n")
    assert size.startswith(b"$")
    aux: dict[str, str] = {}
    file = io.BytesIO(rest[: int(size[1:])])
    entries = list(load_rdb(file, aux.__setitem__))
    assert file.read() == b""
    return Snapshot(replid, int(offset), entries, aux, rest[int(size[1:]) :])


def wrote(node: InProcessNode, *arguments: str) -> None:
    """A write by some client, and the batch's end."""
    node(*arguments)
    node.server.end_batch()


def test_a_full_sync_is_the_data_then_the_stream(node: InProcessNode) -> None:
    wrote(node, "SET", "before", "1")
    replica = node.connect()
    snapshot = full_sync(replica)
    assert [(one.key, one.value) for one in snapshot.entries] == [(b"before", b"1")]
    assert (snapshot.aux["repl-id"], snapshot.aux["repl-offset"]) == (snapshot.replid, str(snapshot.offset))
    wrote(node, "SET", "after", "2")
    stream = SELECT_0 + request([b"SET", b"after", b"2"])
    assert replica.received() == stream
    assert node.server.replication.offset == snapshot.offset + len(stream)


def test_a_replica_that_was_away_gets_what_it_missed(node: InProcessNode) -> None:
    replica = node.connect()
    snapshot = full_sync(replica)
    wrote(node, "SET", "a", "1")
    seen = replica.received()
    node.server.disconnect(replica.session)
    wrote(node, "SET", "a", "2")
    again = node.connect()
    again("REPLCONF", "capa", "psync2")
    answer = again.raw("PSYNC", snapshot.replid, snapshot.offset + len(seen) + 1)
    assert answer == f"+CONTINUE {snapshot.replid}\r\n".encode() + request([b"SET", b"a", b"2"])
    assert node.server.stats.partial_syncs_ok == 1
    older = node.connect()
    assert older.raw("PSYNC", snapshot.replid, snapshot.offset + len(seen) + 1).startswith(b"+CONTINUE\r\n")


@pytest.mark.parametrize("distance", [2, 1000])
def test_bytes_that_nobody_has_said_yet_cannot_be_continued(node: InProcessNode, distance: int) -> None:
    snapshot = full_sync(node.connect())
    answer = node.connect().raw("PSYNC", snapshot.replid, snapshot.offset + distance)
    assert answer.startswith(b"+FULLRESYNC")
    assert node.server.stats.partial_syncs_err == 1


def test_bytes_that_have_left_the_backlog_cannot_be_continued(node: InProcessNode) -> None:
    snapshot = full_sync(node.connect())
    node.server.replication.resize_backlog(16384)
    for number in range(20):
        wrote(node, "SET", f"key:{number}", "x" * 1000)
    assert node.connect().raw("PSYNC", snapshot.replid, snapshot.offset + 1).startswith(b"+FULLRESYNC")


def test_a_stranger_to_our_history_gets_everything(node: InProcessNode) -> None:
    full_sync(node.connect())
    wrote(node, "SET", "a", "1")
    assert node.connect().raw("PSYNC", "f" * 40, 1).startswith(b"+FULLRESYNC")


def test_what_was_written_before_there_was_a_backlog_is_in_no_history(node: InProcessNode) -> None:
    """The offset did not count those writes, so nobody may continue across them."""
    replid = node.server.replication.replid
    wrote(node, "SET", "a", "1")
    first = full_sync(node.connect())
    assert first.replid != replid
    assert node.connect().raw("PSYNC", replid, 1).startswith(b"+FULLRESYNC")


def test_every_replica_is_told_the_database_after_its_snapshot(node: InProcessNode) -> None:
    first = node.connect()
    full_sync(first)
    writer = node.connect()
    writer("SELECT", 3)
    writer("SET", "a", 1)
    node.server.end_batch()
    second = node.connect()
    full_sync(second)
    first.received()
    writer("SET", "b", 1)
    node.server.end_batch()
    assert second.received() == request([b"SELECT", b"3"]) + request([b"SET", b"b", b"1"])


def test_a_transaction_reaches_a_replica_whole(node: InProcessNode) -> None:
    replica = node.connect()
    full_sync(replica)
    writer = node.connect()
    for command in (("MULTI",), ("SET", "a", "1"), ("GET", "a"), ("INCR", "a"), ("EXEC",)):
        writer(*command)
    node.server.end_batch()
    expected = [[b"SELECT", b"0"], [b"MULTI"], [b"SET", b"a", b"1"], [b"INCR", b"a"], [b"EXEC"]]
    assert replica.received() == b"".join(map(request, expected))


def test_a_new_primary_continues_the_history_of_the_old_one(node: InProcessNode) -> None:
    replication = node.server.replication
    full_sync(node.connect())
    wrote(node, "SET", "a", "1")
    old_id, old_offset = replication.replid, replication.offset
    replication.follow("127.0.0.1", 1)
    replication.become_primary()
    assert replication.second_replid == old_id
    assert replication.replid != old_id
    wrote(node, "SET", "a", "2")
    known = node.connect()
    known("REPLCONF", "capa", "psync2")
    answer = known.raw("PSYNC", old_id, old_offset + 1)
    assert answer.startswith(f"+CONTINUE {replication.replid}\r\n".encode()), "our bytes follow the old ones"
    ahead = node.connect().raw("PSYNC", old_id, old_offset + 2)
    assert ahead.startswith(b"+FULLRESYNC"), "it has bytes of the old primary that we never had"


def test_a_primary_that_wrote_nothing_of_its_own_goes_back_to_the_old_history(node: InProcessNode) -> None:
    replication = node.server.replication
    full_sync(node.connect())
    wrote(node, "SET", "a", "1")
    history = replication.replid, replication.offset
    replication.follow("127.0.0.1", 1)
    replication.become_primary()
    replication.follow("127.0.0.1", 1)
    assert (replication.replid, replication.offset) == history
    replication.become_primary()
    wrote(node, "SET", "a", "2")
    own = replication.replid
    replication.follow("127.0.0.1", 1)
    assert replication.replid == own, "its own bytes are not the old primary's"


def saved(node: InProcessNode) -> tuple[str, int]:
    """Save a snapshot; the history that it belongs to."""
    full_sync(node.connect())
    wrote(node, "SET", "kept", "1")
    assert node("SAVE") == b"OK"
    return node.server.replication.replid, node.server.replication.offset


def restarted(node: InProcessNode, *, replica: bool = False) -> InProcessNode:
    """The same node after a restart over its file."""
    again = InProcessNode(("dir", node.server.config.dir), seed=2)
    again.now_ms = node.now_ms
    again.server.replication = type(node.server.replication)(again.server)
    again.server.persistence = type(node.server.persistence)(again.server)
    again.server.is_replica = replica
    again.server.persistence.load()
    return again


def test_a_restarted_primary_lets_its_replicas_continue_up_to_its_snapshot(node: InProcessNode) -> None:
    replid, offset = saved(node)
    again = restarted(node)
    assert again.server.replication.replid != replid
    wrote(again, "SET", "new", "1")
    in_step = again.connect()
    assert in_step.raw("PSYNC", replid, offset + 1) == b"+CONTINUE\r\n" + SELECT_0 + request([b"SET", b"new", b"1"])
    ahead = again.connect().raw("PSYNC", replid, offset + 2)
    assert ahead.startswith(b"+FULLRESYNC"), "it has writes that this primary lost"


def test_a_restarted_replica_asks_to_continue(node: InProcessNode) -> None:
    replid, offset = saved(node)
    replication = restarted(node, replica=True).server.replication
    assert (replication.replid, replication.offset) == (replid, offset)
    assert replication.backlog is not None


def test_keys_that_expired_while_the_primary_was_down_are_deleted_at_its_replicas(node: InProcessNode) -> None:
    wrote(node, "SET", "short", "1", "PX", "100")
    replid, offset = saved(node)
    node.advance(1000)
    again = restarted(node)
    answer = again.connect().raw("PSYNC", replid, offset + 1)
    assert answer == b"+CONTINUE\r\n" + SELECT_0 + request([b"DEL", b"short"])


def test_the_backlog_goes_when_nobody_has_followed_for_its_time(node: InProcessNode) -> None:
    node("CONFIG", "SET", "repl-backlog-ttl", 60)
    replica = node.connect()
    snapshot = full_sync(replica)
    wrote(node, "SET", "a", "1")
    node.server.disconnect(replica.session)
    node.advance(59_000)
    node.server.replication.tick(node.now_ms)
    assert node.server.replication.backlog_bytes
    node.advance(2_000)
    node.server.replication.tick(node.now_ms)
    assert not node.server.replication.backlog_bytes
    assert node.server.replication.second_replid == NO_ID
    assert node.connect().raw("PSYNC", snapshot.replid, snapshot.offset + 1).startswith(b"+FULLRESYNC")


def test_wait_is_over_when_enough_replicas_have_acknowledged(node: InProcessNode) -> None:
    replicas = [node.connect(), node.connect()]
    for replica in replicas:
        full_sync(replica)
    writer = node.connect()
    writer("SET", "a", 1)
    node.server.end_batch()
    offset = node.server.replication.offset
    assert writer.raw("WAIT", 2, 0) == b""
    node.server.end_batch()
    assert request([b"REPLCONF", b"GETACK", b"*"]) in replicas[0].received()
    assert replicas[0].raw("REPLCONF", "ACK", offset) == b""
    assert writer.received() == b""
    replicas[1].raw("REPLCONF", "ACK", offset)
    assert writer.received() == b":2\r\n"
    assert writer("WAIT", 1, 0) == 2, "they have acknowledged already"


def test_a_client_that_waits_is_released_when_the_node_becomes_a_replica(node: InProcessNode) -> None:
    full_sync(node.connect())
    writer = node.connect()
    writer("SET", "a", 1)
    assert writer.raw("WAIT", 1, 0) == b""
    node.server.replication.follow("127.0.0.1", 1)
    assert writer.received().startswith(b"-UNBLOCKED ")


def test_only_replicas_that_follow_closely_are_good(node: InProcessNode) -> None:
    node("CONFIG", "SET", "min-replicas-to-write", 1)
    node("CONFIG", "SET", "min-replicas-max-lag", 10)
    node.server.refresh_road()
    assert node.error("SET", "a", 1).startswith("NOREPLICAS")
    replica = node.connect()
    full_sync(replica)
    assert node("SET", "a", 1) == b"OK"
    node.advance(11_000)
    assert node.error("SET", "a", 1).startswith("NOREPLICAS")
    replica.raw("REPLCONF", "ACK", 1)
    assert node("SET", "a", 1) == b"OK"


def test_role_names_the_replicas_and_what_they_have(node: InProcessNode) -> None:
    replica = node.connect()
    replica("REPLCONF", "listening-port", 7777, "ip-address", "10.0.0.7")
    full_sync(replica)
    replica.raw("REPLCONF", "ACK", 12)
    offset = node.server.replication.offset
    assert node("ROLE") == [b"master", offset, [[b"10.0.0.7", b"7777", b"12"]]]


def test_replconf_refuses_what_it_does_not_know(node: InProcessNode) -> None:
    assert node.error("REPLCONF", "listening-port") == "ERR syntax error"
    assert node.error("REPLCONF", "colour", "red") == "ERR Unrecognized REPLCONF option: colour"
    assert node.error("REPLCONF", "rdb-filter-only", "red") == "ERR Unsupported rdb-filter-only option: red"
    assert node.error("REPLCONF", "rdb-filter-only", '"functions') == "ERR Missing rdb-filter-only values"
    assert node("REPLCONF", "rdb-filter-only", '"functions"') == b"OK"


def test_a_replica_without_its_primary_cannot_be_synced_from(node: InProcessNode) -> None:
    node.server.replication.follow("127.0.0.1", 1)
    assert node.error("PSYNC", "?", -1).startswith("NOMASTERLINK")


def test_data_are_of_no_age_until_the_link_to_their_primary_was_up(node: InProcessNode) -> None:
    """What a former primary, or a snapshot, left here must not pass for fresh data of the primary followed now."""
    role = node.server.replication
    assert role.data_age_ms(node.now_ms) == 0, "a primary's own"
    role.follow("127.0.0.1", 1)
    assert role.link is not None
    assert role.data_age_ms(node.now_ms) is None
    role.link.heard_ms = node.now_ms  # as it moves during the handshake and the full sync
    assert role.data_age_ms(node.now_ms) is None
    role.link.in_step_ms = node.now_ms
    node.advance(700)
    role.link.heard_ms = node.now_ms
    assert role.data_age_ms(node.now_ms) == 700
    role.follow("127.0.0.1", 2, same_data=True)
    assert role.data_age_ms(node.now_ms) == 700
    role.follow("127.0.0.1", 3)
    assert role.data_age_ms(node.now_ms) is None


def test_info_says_since_when_there_is_no_link_whichever_primary_is_meant_now(node: InProcessNode) -> None:
    def down_since() -> int:
        lines = node("INFO", "replication").decode().splitlines()
        return int(dict(line.split(":", 1) for line in lines if ":" in line)["master_link_down_since_seconds"])

    replication = node.server.replication
    node("REPLICAOF", "127.0.0.1", 1)
    assert down_since() == -1, "none was up yet"
    replication.link.up = True  # type: ignore[union-attr]
    node("REPLICAOF", "127.0.0.1", 2)
    node.advance(3000)
    node("REPLICAOF", "127.0.0.1", 3)
    assert down_since() == 3
    node("REPLICAOF", "NO", "ONE")
    node("REPLICAOF", "127.0.0.1", 1)
    assert down_since() == -1


def test_a_replica_that_falls_hopelessly_behind_in_its_full_sync_is_let_go_and_the_log_says_why(
    node: InProcessNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_stream, "MOST_FILE_BYTES", 8000)
    node("CONFIG", "SET", "client-output-buffer-limit", "replica 1000 0 0")
    hung_up: list[Session] = []
    node.server.shell.hang_up = hung_up.append
    replica = node.connect()
    full_sync(replica)
    receiving = node.server.replication.replicas[replica.session]
    receiving.online = False  # as while its snapshot is under way
    receiving.hold()
    for _ in range(7):
        wrote(node, "SET", "a", "x" * 1000)
    node.server.replication.tick(node.now_ms)
    assert hung_up == [], "more than the limit is no reason: it lies in a file"
    assert receiving.held is not None
    assert receiving.held.in_file
    assert b"mem_clients_slaves" in node("INFO", "memory")
    wrote(node, "SET", "a", "x" * 1000)
    node.server.replication.tick(node.now_ms)
    assert hung_up == [replica.session]
    assert "client-output-buffer-limit replica" in node.logged[-1][1]


def test_a_replica_that_says_nothing_is_given_up_but_an_empty_line_is_enough(node: InProcessNode) -> None:
    replica = node.connect()
    full_sync(replica)
    complaint = ("warning", "Disconnecting timedout replica (streaming sync): 127.0.0.1:50000")
    for _ in range(3):
        node.advance(50_000)
        node.server.replication.tick(node.now_ms)
        assert complaint not in node.logged
        node.server.start_batch()
        replica.session.receive(b"\n")
    node.advance(70_000)
    node.server.replication.tick(node.now_ms)
    assert complaint in node.logged
