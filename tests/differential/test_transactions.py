"""Sequences around MULTI, EXEC and WATCH, answered step by step as redis-server does, in both protocol versions."""

from __future__ import annotations

import pytest

from tests.differential.resp import Reply
from tests.differential.server_pair import ServerPair

ANYWHERE = """
MULTI; EXEC
MULTI; MULTI; EXEC
MULTI; WATCH a; EXEC
MULTI; NONSENSE; MULTI; EXEC
MULTI; GET; PING; EXEC; EXEC
MULTI; EXEC now; EXEC
MULTI; DISCARD now; EXEC
MULTI; SET a; DISCARD; EXEC
MULTI; SAVE; EXEC
MULTI; SHUTDOWN NOSAVE; EXEC
MULTI; SYNC; EXEC
MULTI; PSYNC ? -1; EXEC
MULTI; UNWATCH; EXEC
MULTI; SELECT 99; INCR x; EXEC
MULTI; CONFIG NONSENSE; EXEC
MULTI; CLIENT REPLY ON; ECHO a; EXEC
MULTI; RESET; EXEC
MULTI; MONITOR; EXEC
MULTI; WAIT 0 0; EXEC
MULTI; WAIT 1 0; EXEC
MULTI; DEBUG SLEEP 0; EXEC
MULTI; CLIENT UNPAUSE; EXEC
MULTI; BGSAVE NONSENSE; EXEC
MULTI; REPLCONF a; EXEC
MULTI; ASKING; EXEC
MULTI; PING a b; EXEC
MULTI; PING; NONSENSE a b; PING; EXEC
MULTI; COMMAND COUNT x; EXEC
MULTI; CLUSTER NONSENSE; EXEC
MULTI; BLPOP missing 0; EXEC
MULTI; SET a 1; LPUSH a 1; GET a; EXEC; GET a
MULTI; SET a 2; DISCARD; GET a
WATCH a; SET a 1; MULTI; PING; EXEC; MULTI; PING; EXEC
WATCH a; UNWATCH; SET a 1; MULTI; PING; EXEC
WATCH a; MULTI; DISCARD; SET a 1; MULTI; PING; EXEC
SET a 1; WATCH a; DEL a; MULTI; EXEC
DEL a; WATCH a; DEL a; MULTI; EXEC
SET a 1; WATCH a; EXPIRE a 100; MULTI; EXEC
SET a 1; WATCH a; EXPIRE a -1; MULTI; EXEC
SET a 1; WATCH a; PERSIST a; MULTI; EXEC
SET a 1; WATCH a; FLUSHALL; MULTI; EXEC
FLUSHALL; WATCH a; FLUSHALL; MULTI; EXEC
SET a 1; WATCH a; FLUSHDB; MULTI; EXEC
SET a 1; WATCH a; SET b 2; MULTI; EXEC
SET a 1; WATCH a; APPEND a 1; MULTI; GET a; EXEC
SET a 1; WATCH a; GETEX a EX 100; MULTI; GET a; EXEC
SET {a} 1; WATCH {a}b; RENAME {a} {a}b; MULTI; EXEC
SET a 1; WATCH a; RESET; SET a 2; MULTI; EXEC
WATCH a; EXEC; SET a 1; MULTI; EXEC
SET a 1; MULTI; SET a 2; PING; GET a; EXEC; GET a
ASKING; GET a; SET a 1
"""
STANDALONE = """
SET a 1; WATCH a; SWAPDB 0 1; MULTI; EXEC
SET a 1; WATCH a; SELECT 1; SET a 2; MULTI; EXEC
WATCH a; SELECT 1; SET b 1; SELECT 0; MULTI; EXEC
SET a 1; WATCH a; MOVE a 1; MULTI; EXEC
MULTI; SELECT 1; SET k 1; EXEC; GET k
"""
CLUSTER = """
MULTI; MGET a b; GET a; EXEC
MULTI; GET a; GET b; EXEC; EXEC
MULTI; GET {t}a; SET {t}b 1; EXEC
MULTI; PING; ECHO a; EXEC
MULTI; SELECT 1; EXEC
MULTI; CLUSTER KEYSLOT a; CLUSTER INFO 1; EXEC
WATCH a; WATCH b; MULTI; GET c; EXEC
WATCH a; SET a 1; MULTI; GET b; EXEC
MULTI; READONLY; READWRITE; EXEC
MULTI; CLUSTER SETSLOT 1 STABLE; EXEC
"""


def differences_at_once(pair: ServerPair, table: str, resp: int) -> dict[str, tuple[list[Reply], list[Reply]]]:
    """The same with all steps of a line in one piece, as clients pipeline them."""
    found = {}
    for line in table.strip().splitlines():
        pair.begin(resp)
        pair.both([b"FLUSHALL"])
        ours, theirs = pair.both_at_once([step.encode().split() for step in line.split("; ")])
        if ours != theirs:
            found[line] = ours, theirs
    return found


def differences(pair: ServerPair, table: str, resp: int) -> dict[tuple[str, str], tuple[Reply, Reply]]:
    found = {}
    for line in table.strip().splitlines():
        pair.begin(resp)
        pair.both([b"FLUSHALL"])
        for step in line.split("; "):
            ours, theirs = pair.both(step.encode().split())
            if ours != theirs:
                found[line, step] = ours, theirs
    return found


@pytest.mark.parametrize("resp", [2, 3])
def test_outside_cluster_mode(alone: ServerPair, resp: int) -> None:
    assert differences(alone, ANYWHERE + STANDALONE.lstrip(), resp) == {}
    assert differences_at_once(alone, ANYWHERE + STANDALONE.lstrip(), resp) == {}


@pytest.mark.parametrize("resp", [2, 3])
def test_in_cluster_mode(clustered: ServerPair, resp: int) -> None:
    assert differences(clustered, ANYWHERE + CLUSTER.lstrip(), resp) == {}
    assert differences_at_once(clustered, ANYWHERE + CLUSTER.lstrip(), resp) == {}
