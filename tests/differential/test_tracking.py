"""Client-side caching, step by step as redis-server does it, to the byte: who is told of what, and when.

A line is what some clients do in turn; `1> SET a x` is the second client's step, one without a number the first's, and
`@1` is the second client's id. ON, BCAST and OFF stand for CLIENT TRACKING with these words.
"""

from __future__ import annotations

import re

import pytest

from tests.differential.conversations import Conversation
from tests.differential.server_pair import ServerPair

CLIENTS = 3
_ID = re.compile(rb"(tracking-redir-broken\r\n):\d+")
SHORT = {"ON": "CLIENT TRACKING on", "BCAST": "CLIENT TRACKING on BCAST", "OFF": "CLIENT TRACKING off"}
ANYWHERE = """
CLIENT TRACKING; CLIENT TRACKING x; ON x; OFF x; ON REDIRECT
ON REDIRECT x; ON REDIRECT 0; ON REDIRECT 9999999; CLIENT TRACKING x y
ON REDIRECT @1 REDIRECT @2; OFF REDIRECT @1; OFF PREFIX a
ON PREFIX a; ON PREFIX; BCAST OPTIN; ON OPTIN OPTOUT
ON OPTIN; ON OPTOUT; BCAST; OFF; ON OPTOUT
BCAST PREFIX a; ON; BCAST PREFIX ab; BCAST PREFIX b
BCAST PREFIX a; BCAST; CLIENT TRACKINGINFO; OFF; CLIENT TRACKINGINFO
BCAST; BCAST PREFIX a; CLIENT TRACKINGINFO
CLIENT CACHING; CLIENT CACHING yes; ON; CLIENT CACHING yes; CLIENT CACHING no; CLIENT CACHING x
ON OPTIN; CLIENT CACHING no; CLIENT CACHING yes; CLIENT TRACKINGINFO; CLIENT TRACKINGINFO
ON OPTOUT NOLOOP; CLIENT CACHING yes; CLIENT CACHING no; CLIENT TRACKINGINFO; CLIENT TRACKINGINFO
CLIENT GETREDIR; ON; CLIENT GETREDIR; OFF; CLIENT GETREDIR
ON; GET a; 1> SET a x; 1> SET a y; GET a; 1> DEL a; 1> SET a z
ON; GET a; SET a x; GET a; APPEND a y; SET a z
ON NOLOOP; GET a; SET a x; GET a; 1> SET a y; GET a; SET a z; 1> SET a w
ON; MGET {t}a {t}b {t}c; 1> MSET {t}a 1 {t}c 2; 1> MSET {t}a 1 {t}b 2
ON; EXISTS a; STRLEN b; 1> SET a x; 1> SET b x; LLEN l; 1> RPUSH l x; 1> RPUSH l x; LRANGE l 0 -1; 1> LPOP l
ON; GET a; 1> SET b x; 1> FLUSHALL; GET a; 1> FLUSHDB; FLUSHALL
ON; GET a; OFF; 1> SET a x; ON; 1> SET a y; GET a; 1> SET a z
ON; GET a; OFF; BCAST; 1> SET a y
ON; 1> ON; GET a; 1> GET a; 2> SET a x; GET a; 1> SET a y
ON; GET a; MULTI; SET a x; GET a; SET a y; EXEC; 1> SET a z
ON; MULTI; GET a; GET b; EXEC; 1> MULTI; 1> SET a x; 1> SET b y; 1> EXEC
ON OPTIN; GET a; 1> SET a x; CLIENT CACHING yes; GET a; GET b; 1> SET a y; 1> SET b y
ON OPTIN; CLIENT CACHING yes; PING; GET a; 1> SET a x
ON OPTIN; CLIENT CACHING yes; MULTI; GET a; GET b; EXEC; GET c; 1> SET a x; 1> SET b y; 1> SET c y
ON OPTOUT; CLIENT CACHING no; GET a; GET b; 1> SET a x; 1> SET b x
ON OPTIN; CLIENT CACHING yes; FOO; GET a; 1> SET a x; CLIENT CACHING yes; GET; GET a; 1> SET a x
BCAST; 1> SET a x; 1> SET b x; SET c x; 1> DEL a; 1> DEL a; GET a
BCAST NOLOOP; 1> SET a x; SET c x; MULTI; SET b 1; SET d 2; EXEC
BCAST PREFIX a PREFIX b; 1> SET ab x; 1> SET b x; 1> SET c x; 1> FLUSHALL; SET a 1
BCAST PREFIX a; 1> MULTI; 1> SET ab x; 1> SET aa x; 1> SET b 1; 1> SET ab y; 1> EXEC
BCAST PREFIX a; 1> BCAST PREFIX a NOLOOP; 1> SET a x; 2> SET a y; 1> OFF; SET a z
ON; GET a; 1> SET a x PX 100000; GET a; 1> PERSIST a; GET a; 1> EXPIRE a 1000; TTL a; 1> PEXPIRE a 1
ON; GET a; 1> RENAME a b; 1> SET a x; GET a; GET b; 1> SET b y; GET b; 1> SET a y
ON; EVAL "return redis.call('get',KEYS[1])" 1 a; 1> SET a x; GET b
ON; EVAL_RO "return redis.call('get',KEYS[1])" 1 a; 1> SET a x; GET a; EVAL "return redis.call('set',KEYS[1],'y')" 1 a
ON; PUBSUB CHANNELS; DBSIZE; KEYS *; SCAN 0; RANDOMKEY; 1> SET a x
ON; XADD s 1-1 f v; XLEN s; 1> XADD s 2-1 f v; XRANGE s - +; 1> XTRIM s MAXLEN 0; 1> DEL s
ON; GET a; RESET; 1> SET a x; HELLO 3; CLIENT TRACKINGINFO
ON; GET a; HELLO 2; 1> SET a x; HELLO 3; GET a; 1> SET a y
1> SUBSCRIBE __redis__:invalidate; ON REDIRECT @1; GET a; 2> SET a x; SET a y; GET a; SET a z; 2> FLUSHALL
1> SUBSCRIBE x; ON REDIRECT @1 BCAST; 2> SET a x; SET a y; 2> FLUSHALL
ON REDIRECT @1; GET a; 2> SET a x; 1> SUBSCRIBE __redis__:invalidate; GET a; 2> SET a x
1> HELLO 3; ON REDIRECT @1; GET a; 2> SET a x; GET a; 1> SET a y
1> SUBSCRIBE x; ON REDIRECT @1; GET a; 1> QUIT; 2> SET a x; OFF; GET b
ON REDIRECT @0; GET a; SET a x; GET a; 1> SET a y
"""


def differences(pair: ServerPair, table: str, resp: int) -> dict[tuple[str, str], tuple[list[bytes], list[bytes]]]:
    found = {}
    for line in table.strip().splitlines():
        pair.node("FLUSHALL")
        pair.oracle(b"FLUSHALL")
        talk = Conversation(pair.node, pair.oracle, CLIENTS)
        if "@" in line:
            talk.ask_ids()
        if resp == 3:
            for who in range(CLIENTS):
                talk.step(who, [b"HELLO", b"3"])
        for step in line.split("; "):
            number, mark, command = step.rpartition("> ")
            ours, theirs = talk.step(int(number) if mark else 0, split(command))
            ours, theirs = ([_ID.sub(rb"\1:0", one) for one in side] for side in (ours, theirs))
            if ours != theirs and not command.startswith("HELLO"):
                found[line, step] = ours, theirs
                break
        talk.close()
    return found


def split(command: str) -> list[bytes]:
    for word, meaning in SHORT.items():
        if f"{command} ".startswith(f"{word} "):
            command = meaning + command.removeprefix(word)
    head, mark, rest = command.partition('"')
    words = head.encode().split()
    if mark:
        script, _, rest = rest.partition('"')
        words += [script.encode(), *rest.encode().split()]
    return words


@pytest.mark.parametrize("resp", [2, 3])
def test_outside_cluster_mode(alone: ServerPair, resp: int) -> None:
    assert differences(alone, ANYWHERE, resp) == {}


@pytest.mark.parametrize("resp", [2, 3])
def test_in_cluster_mode(clustered: ServerPair, resp: int) -> None:
    assert differences(clustered, ANYWHERE, resp) == {}
