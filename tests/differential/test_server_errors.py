"""Calls that are wrong in some way are refused in redis-server's words, in both protocol versions."""

from __future__ import annotations

import pytest

from tests.differential.resp import Reply
from tests.differential.server_calls import CLUSTER, CONNECTION, SERVER, STANDALONE, TRANSACTIONS, calls
from tests.differential.server_pair import ServerPair

SINCE_7_2 = {
    # 7.0 wants an argument behind the command's name.
    (b"COMMAND", b"GETKEYS", b"GET"),
    (b"COMMAND", b"GETKEYS", b"PING"),
}


def differences(pair: ServerPair, commands: list[list[bytes]], resp: int) -> dict[bytes, tuple[Reply, Reply]]:
    found = {}
    for command in commands:
        pair.begin(resp)
        ours, theirs = pair.both(command)
        if ours != theirs and tuple(command) not in SINCE_7_2:
            found[b" ".join(command)] = ours, theirs
    return found


@pytest.mark.parametrize("resp", [2, 3])
def test_outside_cluster_mode(alone: ServerPair, resp: int) -> None:
    assert differences(alone, calls(CONNECTION, TRANSACTIONS, SERVER, STANDALONE), resp) == {}


AS_TYPED = """
xinfo Stream s foo; XINFO STREAM s full foo 3; PUBSUB Channels a b; pubsub shardchannels a b; SlowLog Get a b
xgroup Create s g $ foo; XGROUP setid s g $ foo; ACL Log foo bar; acl Cat a b; ACL genPass 1 2; client Pause 1 write x
CLIENT unBlock 1 error x; debug Sleep; DEBUG htStats
"""


def test_a_subcommand_stands_in_errors_as_it_was_typed(alone: ServerPair) -> None:
    alone.begin(2)
    for line in ["XADD s 1 f v", "XGROUP CREATE s g 0", *AS_TYPED.replace("\n", "; ").split("; ")]:
        if command := line.encode().split():
            ours, theirs = alone.both(command)
            assert ours == theirs, line


def test_a_limit_of_none_is_no_limit_whatever_a_range_goes_by(alone: ServerPair) -> None:
    alone.begin(2)
    alone.both([b"ZADD", b"z", b"1", b"a", b"2", b"b"])
    for line in (
        "ZRANGE z 0 -1 LIMIT 1 -1", "ZRANGE z 0 -1 LIMIT 5 -1 REV WITHSCORES", "ZREVRANGE z 0 -1 LIMIT 1 -1",
        "ZRANGE z 0 -1 LIMIT 0 -2", "ZRANGE z 0 -1 LIMIT x -1", "ZRANGESTORE z z 0 0 LIMIT 9 -1", "ZRANGE z 0 -1",
    ):
        ours, theirs = alone.both(line.encode().split())
        assert ours == theirs, line


def test_how_the_keys_of_a_database_lie_can_be_asked(alone: ServerPair) -> None:
    """What is said of them is each server's own."""
    alone.begin(3)
    alone.both([b"SADD", b"s", *(b"%d a" % number for number in range(600))])
    for line in ("DEBUG HTSTATS 0", "DEBUG HTSTATS-KEY s", "MEMORY MALLOC-STATS"):
        ours, theirs = alone.both(line.encode().split())
        assert ours.kind == theirs.kind, line
        assert len(str(ours.value)) > 50, line
    alone.both([b"SET", b"t", b"1"])
    for line in ("DEBUG HTSTATS x", "DEBUG HTSTATS 99", "DEBUG HTSTATS-KEY t", "DEBUG HTSTATS-KEY none"):
        ours, theirs = alone.both(line.encode().split())
        assert ours == theirs, line


@pytest.mark.parametrize("resp", [2, 3])
def test_in_cluster_mode(clustered: ServerPair, resp: int) -> None:
    assert differences(clustered, calls(CONNECTION, TRANSACTIONS, SERVER, CLUSTER), resp) == {}
