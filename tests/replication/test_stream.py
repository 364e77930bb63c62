"""A replica applies its primary's stream: however it is cut into pieces, the same bytes count and are passed on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cluster.keyspace.digest import dataset_digest
from cluster.protocol.replies import request
from cluster.replication.replica_link import ReplicaLink
from cluster.replication.role import Replication
from tests.commands.in_process import InProcessNode

PLAIN = [
    [b"SET", b"a", b"1"], [b"SET", b"b", b"x" * 300], [b"APPEND", b"b", b"yy"], [b"DEL", b"a", b"b"], [b"INCR", b"n"],
    [b"MSET", b"a", b"2", b"c", b"3"], [b"SELECT", b"1"], [b"SELECT", b"0"], [b"PING"], [b"LPUSH", b"a", b"no list"],
    [b"NO-SUCH", b"x"], [b"REPLCONF", b"GETACK", b"*"],
]  # fmt: skip
commands = st.lists(st.sampled_from(PLAIN), max_size=5)
transactions = commands.map(lambda inside: [[b"MULTI"], *(one for one in inside if one[0] != b"REPLCONF"), [b"EXEC"]])
streams = st.lists(st.one_of(commands, transactions), max_size=6)


class Follower:
    """The receiving end of a stream, without a connection."""

    def __init__(self, *directives: tuple[str, str]) -> None:
        self.node = InProcessNode(("databases", "2"), *directives)
        server = self.node.server
        server.replication = self.replication = Replication(server)
        self.link = self.replication.link = ReplicaLink(server, self.replication, "127.0.0.1", 1)
        self.backlog = self.replication.need_backlog()
        self.acknowledged: list[int] = []
        self.link.acknowledge = lambda: self.acknowledged.append(self.replication.offset)  # type: ignore[method-assign]
        self.link.begin_stream()

    def take(self, data: bytes) -> None:
        self.link.apply(data)

    def digest(self) -> bytes:
        return dataset_digest(self.node.server.databases)


@given(groups=streams, cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_the_pieces_do_not_matter(groups: list[list[list[bytes]]], cuts: list[int]) -> None:
    boundaries = [0]  # where a replica may stop: between commands, not within a transaction
    acks = []
    whole = b""
    for group in groups:
        for command in group:
            if command[0] == b"REPLCONF":
                acks.append(len(whole))
            whole += request(command)
            if group[0] != [b"MULTI"] or command == [b"EXEC"]:
                boundaries.append(len(whole))
    at_once, in_pieces = Follower(), Follower()
    if whole:
        at_once.take(whole)
    start = 0
    for end in [*sorted(cut for cut in cuts if 0 < cut < len(whole)), len(whole)]:
        if end > start:
            in_pieces.take(whole[start:end])
            start = end
            assert in_pieces.replication.offset == max(one for one in boundaries if one <= end)
    for follower in (at_once, in_pieces):
        assert follower.replication.offset == len(whole)
        assert follower.backlog.since(1) == whole
        assert follower.acknowledged == acks
    assert in_pieces.digest() == at_once.digest()


def test_data_are_as_old_as_the_last_word_of_the_stream() -> None:
    """Not as old as the synchronisation: a replica that had followed for a while could never be elected."""
    follower = Follower()
    follower.node.now_ms += 600_000
    follower.take(request([b"PING"]))
    follower.node.now_ms += 50
    assert follower.replication.data_age_ms(follower.node.now_ms) == 50


def test_a_large_value_in_many_pieces_is_held_once() -> None:
    """Bytes copied again for each piece would be 16 GB here."""
    follower = Follower()
    data = request([b"SET", b"k", b"v" * (32 << 20)])
    for at in range(0, len(data), 65536):
        follower.take(data[at : at + 65536])
    assert follower.replication.offset == len(data)
    assert follower.node("STRLEN", "k") == 32 << 20


def test_its_append_only_file_gets_transactions_whole() -> None:
    """A replica that is killed in the middle of one is not to come back with half of it."""
    follower = Follower()
    inside = [[b"SET", b"a", b"1"], [b"SET", b"b", b"1"]]
    follower.take(b"".join(map(request, [[b"MULTI"], *inside, [b"EXEC"], [b"SET", b"c", b"1"]])))
    follower.node.end_batch()
    assert follower.node.effects == [[b"MULTI"], *inside, [b"EXEC"], [b"SET", b"c", b"1"]]
