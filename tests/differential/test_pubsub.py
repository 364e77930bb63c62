"""Pub/sub, step by step as redis-server answers it, to the byte: who is told what in both protocol versions.

A line is what some clients do in turn; `1> PUBLISH a x` is the second client's step, one without a number the first's.
"""

from __future__ import annotations

import pytest

from tests.differential.conversations import Conversation
from tests.differential.server_pair import ServerPair

CLIENTS = 3
ANYWHERE = """
SUBSCRIBE a b a; PING; PING x; PING x y; GET a; UNSUBSCRIBE x; UNSUBSCRIBE a; PSUBSCRIBE p*; UNSUBSCRIBE; PING
SUBSCRIBE a; PSUBSCRIBE p; SSUBSCRIBE s; PUNSUBSCRIBE; UNSUBSCRIBE; PUNSUBSCRIBE; UNSUBSCRIBE; SUNSUBSCRIBE; PING
UNSUBSCRIBE; PUNSUBSCRIBE; SUNSUBSCRIBE; UNSUBSCRIBE a b; PUNSUBSCRIBE a; SUNSUBSCRIBE a; PING
SUBSCRIBE a; UNSUBSCRIBE a a; SUBSCRIBE x y; UNSUBSCRIBE y z x; PING
SUBSCRIBE a; PSUBSCRIBE b; SSUBSCRIBE s; UNSUBSCRIBE b; SUNSUBSCRIBE a; SUNSUBSCRIBE s s; PUNSUBSCRIBE a b
SUBSCRIBE a; RESET; PING; GET a; 1> PUBLISH a x; PUBSUB CHANNELS
SUBSCRIBE a; PSUBSCRIBE b; SSUBSCRIBE s; RESET; 1> PUBSUB CHANNELS; 1> PUBSUB NUMPAT; 1> PUBSUB SHARDCHANNELS
SUBSCRIBE a; FOO; PUBLISH b b; SUBSCRIBE; CLIENT KILL x; SELECT 0; AUTH x; MULTI; EXEC; QUIT
SUBSCRIBE a; SUBSCRIBE; PSUBSCRIBE; SSUBSCRIBE; PUBLISH; SPUBLISH; PUBSUB
SUBSCRIBE a; CLIENT REPLY OFF; PING; RESET; PING
CLIENT REPLY OFF; SUBSCRIBE a; PING; 1> PUBLISH a x; CLIENT REPLY ON; UNSUBSCRIBE; PING
CLIENT REPLY SKIP; SUBSCRIBE a b; PING; UNSUBSCRIBE a
CLIENT REPLY OFF; UNSUBSCRIBE; SSUBSCRIBE s; SUNSUBSCRIBE; CLIENT REPLY ON; PING
MULTI; SUBSCRIBE a b; PING; EXEC; PING; 1> PUBLISH b x
MULTI; SUBSCRIBE a; RESET; 1> PUBLISH a x
CLIENT REPLY OFF; RESET; PING
CLIENT REPLY SKIP; RESET; PING
MULTI; SUBSCRIBE a; UNSUBSCRIBE; PSUBSCRIBE b; PUNSUBSCRIBE; UNSUBSCRIBE; EXEC; GET a
MULTI; SUBSCRIBE a; EXEC; MULTI; EXEC; PING
MULTI; SUBSCRIBE a; DISCARD; PING
MULTI; SUBSCRIBE; EXEC
MULTI; SSUBSCRIBE s; SPUBLISH t x; EXEC; 1> SPUBLISH s x
MULTI; PUBLISH a x; PUBLISH b y; EXEC
1> SUBSCRIBE a; 2> SUBSCRIBE a; MULTI; PUBLISH a x; PUBLISH b y; PUBLISH a z; EXEC
1> SUBSCRIBE a; 2> PSUBSCRIBE a*; PUBLISH a x; PUBLISH ab y; PUBLISH b z; PUBLISH a x
1> SUBSCRIBE a; 1> PSUBSCRIBE a*; PUBLISH a x; 1> UNSUBSCRIBE; PUBLISH a y; 1> PUNSUBSCRIBE; PUBLISH a z
1> PSUBSCRIBE h[ae]llo [; PUBLISH hallo x; PUBLISH [ x; PUBSUB NUMPAT; 1> PUNSUBSCRIBE [; PUBSUB NUMPAT
1> SSUBSCRIBE a; 2> SUBSCRIBE a; SPUBLISH a x; PUBLISH a y; 1> PING
1> HELLO 3; 1> SUBSCRIBE a; 1> GET a; PUBLISH a x; 1> PING; 1> HELLO 2; 1> GET a; PUBLISH a y; 1> UNSUBSCRIBE
1> HELLO 3; 1> SUBSCRIBE a; 2> HELLO 2; 2> SUBSCRIBE a; PUBLISH a x; 1> RESET; PUBLISH a y
1> SUBSCRIBE a; 2> SUBSCRIBE a b; PUBSUB NUMSUB a b c; PUBSUB NUMSUB; PUBSUB CHANNELS b*; PUBSUB NUMPAT
1> SSUBSCRIBE a; PUBSUB SHARDCHANNELS; PUBSUB SHARDCHANNELS b; PUBSUB SHARDNUMSUB a b; PUBSUB SHARDNUMSUB
PUBSUB NOPE; PUBSUB CHANNELS a b; PUBSUB NUMPAT x; PUBSUB SHARDCHANNELS x y; PUBSUB; PUBSUB HELP x; PUBSUB numpat
PUBLISH a; PUBLISH; SPUBLISH a; SPUBLISH a b c; PUBLISH a b c; SUBSCRIBE; PSUBSCRIBE; SSUBSCRIBE
1> SUBSCRIBE a; CLIENT KILL TYPE pubsub; PUBLISH a x; CLIENT KILL TYPE pubsub
1> SUBSCRIBE a; 1> QUIT; PUBLISH a x; PUBSUB CHANNELS
HELLO 3; DEBUG PROTOCOL push; SUBSCRIBE a; RESET
"""
STANDALONE = """
1> SSUBSCRIBE a b c; SPUBLISH b x; 1> SUNSUBSCRIBE c a
SELECT 1; 1> SUBSCRIBE a; PUBLISH a x
"""
CLUSTER = """
SSUBSCRIBE a b; PING; SSUBSCRIBE {t}a {t}b; SUNSUBSCRIBE a b; SUNSUBSCRIBE {t}b; PING; SUNSUBSCRIBE; PING
MULTI; SSUBSCRIBE a; SSUBSCRIBE b; EXEC
MULTI; SPUBLISH a x; SET a 1; EXEC
MULTI; SPUBLISH a x; SET b 1; EXEC
1> SSUBSCRIBE a; SPUBLISH a x; SPUBLISH b x
"""


def differences(pair: ServerPair, table: str, resp: int) -> dict[tuple[str, str], tuple[list[bytes], list[bytes]]]:
    found = {}
    for line in table.strip().splitlines():
        talk = Conversation(pair.node, pair.oracle, CLIENTS)
        if resp == 3:
            for who in range(CLIENTS):
                talk.step(who, [b"HELLO", b"3"])
        for step in line.split("; "):
            number, mark, command = step.rpartition("> ")
            ours, theirs = talk.step(int(number) if mark else 0, command.encode().split())
            if ours != theirs and not command.startswith("HELLO"):
                found[line, step] = ours, theirs
                break
        talk.close()
    return found


@pytest.mark.parametrize("resp", [2, 3])
def test_outside_cluster_mode(alone: ServerPair, resp: int) -> None:
    assert differences(alone, ANYWHERE + STANDALONE.lstrip(), resp) == {}


@pytest.mark.parametrize("resp", [2, 3])
def test_in_cluster_mode(clustered: ServerPair, resp: int) -> None:
    assert differences(clustered, ANYWHERE + CLUSTER.lstrip(), resp) == {}
