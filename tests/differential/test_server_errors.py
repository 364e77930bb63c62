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


@pytest.mark.parametrize("resp", [2, 3])
def test_in_cluster_mode(clustered: ServerPair, resp: int) -> None:
    assert differences(clustered, calls(CONNECTION, TRANSACTIONS, SERVER, CLUSTER), resp) == {}
