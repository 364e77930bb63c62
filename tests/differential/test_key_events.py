"""Keyspace events: random commands set off the same events here and in redis-server, in the same order."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from cluster.protocol.replies import request
from tests.commands.in_process import Client
from tests.differential.comparison import is_in_7_0
from tests.differential.conversations import received
from tests.differential.grammar import Command, Commands
from tests.differential.machine import DIRECTIVES, EXAMPLES, STEPS, Pair
from tests.differential.resp import decode_all
from tests.differential.test_against_redis import GRAMMARS
from tests.system.waiting import wait_until

EVERYTHING = "KEAmn"
DEADLINE_S = 20.0
END_CHANNEL = b"__key__:end"
END = b"$11\r\n__key__:end\r\n$3\r\nend\r\n"
"""What redis-server is asked to publish behind a command, so that all events of that have come when this has."""
LISTEN = [b"PSUBSCRIBE", b"__key*__:*"]


class Listeners:
    """A client of each server that hears all events."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.ours = Client(pair.node)
        self.theirs = socket.create_connection(("127.0.0.1", pair.oracle.port))
        self.ours.raw(*LISTEN)
        self.theirs.sendall(request(LISTEN))
        while not received(self.theirs):
            pair.oracle(b"PING")

    def heard(self) -> tuple[list[object], list[object]]:
        """What came since: ours, redis-server's."""
        self.pair.other_oracle(b"PUBLISH", END_CHANNEL, b"end")
        theirs = b""
        self.theirs.settimeout(DEADLINE_S)
        while not theirs.endswith(END):
            theirs += self.theirs.recv(65_536)
        return _events(self.ours.received()), _events(theirs)[:-1]


NEW_CONSUMER = b"xgroup-createconsumer"
"""7.2 makes a consumer when it first asks, 7.0 when it first gets something."""


def _events(data: bytes) -> list[object]:
    """(channel, message) of each."""
    heard = [(reply.value[2].value, reply.value[3].value) for reply in decode_all(data)]  # type: ignore[index]
    return [one for one in heard if NEW_CONSUMER not in one[0] + one[1]]


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    pair = Pair(tmp_path_factory.mktemp("events"), *DIRECTIVES, ("notify-keyspace-events", EVERYTHING))
    pair.node.server.key_events.configure(pair.node.server.config)
    listeners = Listeners(pair)
    yield listeners
    listeners.theirs.close()
    pair.close()


ARGUMENTS_FIRST = (b"BITCOUNT", b"BITPOS")
"""Since 7.2 wrong arguments are seen before the key is looked for, and missed."""


@pytest.mark.parametrize("grammar", GRAMMARS.values(), ids=GRAMMARS)
def test_events_are_those_of_redis_server(listeners: Listeners, grammar: Commands) -> None:
    pair = listeners.pair

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            pair.begin(2)
            listeners.heard()

        @rule(commands=st.lists(grammar.filter(is_in_7_0), min_size=1, max_size=4))
        def send(self, commands: list[Command]) -> None:
            for command in commands:
                reply, _ = pair.both(command)
                ours, theirs = listeners.heard()
                if command[0] in ARGUMENTS_FIRST and reply.kind == "-":
                    continue
                if command[0].startswith(b"SORT"):  # the order in which a set is looked through is each server's own
                    ours, theirs = sorted(ours, key=repr), sorted(theirs, key=repr)
                assert ours == theirs, f"{command}: ours {ours}, redis-server's {theirs}"

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


TABLE = """
SET a 1; DEBUG OBJECT a; OBJECT ENCODING b; OBJECT FREQ b; MEMORY USAGE b; DUMP b; RENAME b c; RENAMENX a a; WATCH b
SET a 1; SET b 2; RENAME a b; RENAMENX b c; COPY c a; COPY c a; COPY c a REPLACE; MOVE a 1; MOVE c 1; MOVE c 1
SET a 1; SORT b; SORT_RO b; SORT a; RPUSH l 2 1; SORT l STORE m; SORT l STORE m; SORT b STORE m; SUBSTR b 0 1
XAUTOCLAIM b g c x 0; XAUTOCLAIM b g c 0 x; XCLAIM b g c x 1-1; XPENDING b g - + x; XPENDING b g; XINFO STREAM b
XADD s 1-1 f v; XGROUP CREATE s g 0; XREADGROUP GROUP g c STREAMS s >; XCLAIM s g d 0 1-1; XACK s g 1-1; XDEL s 1-1
XADD s 1-1 f v; XADD s MAXLEN 1 2-1 f v; XTRIM s MAXLEN 0; XSETID s 9-9; XGROUP CREATE s g $; XGROUP DESTROY s g
XGROUP CREATE s g $ MKSTREAM; XGROUP CREATECONSUMER s g c; XGROUP DELCONSUMER s g c; XGROUP SETID s g 0; XLEN t
RPUSH l 1; LMOVE l l LEFT RIGHT; LMOVE l m LEFT LEFT; RPOPLPUSH m l; LMPOP 2 m l LEFT; LPOS l 1
RPUSH l 1 2 3; BLPOP m l 1; BLMOVE l m LEFT RIGHT 1; BRPOP m 1; BRPOPLPUSH l l 1; BLMPOP 1 1 l LEFT COUNT 5
ZADD z 1 a 2 b; BZPOPMIN y z 1; BZPOPMAX z 1; ZADD z 1 a; BZMPOP 1 2 y z MIN; ZMPOP 1 z MIN; ZADD z XX 1 a
SADD s a b; SPOP s 2; SADD s a; SMOVE s t a; SMOVE s t a; SMOVE t t a; SPOP t; SPOP t; SINTERCARD 2 s t
SET a 1 EX 5000; PERSIST a; EXPIRE a 5000; EXPIRE a -1; EXPIRE a 5; GETEX a; SETEX a 5000 v; PSETEX a 0 v; GETSET a x
SET a 1; PEXPIREAT a 1; SET a 1 PXAT 1; GET a; SET a 1; GETEX a PXAT 1; SET a 1 GET KEEPTTL; GETDEL a; GETDEL a
SETNX a 1; SETNX a 2; MSETNX a 1 b 2; MSETNX b 1 c 2; APPEND a x; SETRANGE a 0 ""; SETRANGE q 0 x; INCR n
SETBIT a 0 1; SETBIT a 0 1; BITFIELD a SET u8 0 1; BITFIELD b GET u8 0; BITFIELD_RO b GET u8 0; BITOP NOT d x
HSET h f 1; HSETNX h f 2; HSETNX h g 2; HINCRBY h f 1; HINCRBYFLOAT h f 1; HDEL h f g; HGETALL h; HSTRLEN h f
PFADD p a; PFADD p a; PFADD q; PFMERGE r p q; PFCOUNT r; PFCOUNT r missing; PFMERGE r missing; PFADD p
SET a 1; FLUSHDB; SET a 1; FLUSHALL; SET a 1; SWAPDB 0 1; SELECT 1; GET a; DEL a; SELECT 0; DEL a; EXISTS a
MULTI; SET a 1; INCR a; GET b; DEL a; EXEC; TOUCH a; TYPE a; TTL a; PTTL a; EXPIRETIME a; SCAN 0; RANDOMKEY; DBSIZE
"""


@pytest.mark.parametrize("line", TABLE.strip().splitlines(), ids=lambda line: line.split()[0])
def test_events_of_a_line(listeners: Listeners, line: str) -> None:
    listeners.pair.begin(2)
    listeners.heard()
    for step in line.split("; "):
        listeners.pair.both([b"" if word == '""' else word.encode() for word in step.split()])
        ours, theirs = listeners.heard()
        assert ours == theirs, step


def test_a_restored_key_is_new(listeners: Listeners) -> None:
    pair = listeners.pair
    pair.begin(2)
    pair.both([b"SET", b"a", b"x" * 30])
    payload = pair.oracle(b"DUMP", b"a").value
    assert isinstance(payload, bytes)
    listeners.heard()
    for command in ([b"b", b"0"], [b"b", b"0"], [b"b", b"0", b"REPLACE"], [b"b", b"5000", b"REPLACE"],
                    [b"b", b"1", b"REPLACE", b"ABSTTL"], [b"b", b"1", b"REPLACE", b"ABSTTL"]):  # fmt: skip
        pair.both([b"RESTORE", *command[:2], payload, *command[2:]])
        ours, theirs = listeners.heard()
        assert ours == theirs, command


def test_a_key_that_is_found_to_have_expired_says_so_first(listeners: Listeners) -> None:
    pair = listeners.pair
    pair.begin(2)
    for command in ([b"GET", b"a"], [b"SET", b"a", b"2"], [b"EXISTS", b"a"], [b"LPUSH", b"a", b"x"], [b"DEL", b"a"],
                    [b"RENAME", b"b", b"a"], [b"TYPE", b"a"], [b"OBJECT", b"ENCODING", b"a"], [b"MGET", b"b", b"a"],
                    [b"SETNX", b"a", b"1"], [b"PERSIST", b"a"], [b"COPY", b"b", b"a"], [b"SINTERSTORE", b"b", b"a"],
                    [b"WATCH", b"a"], [b"KEYS", b"*"], [b"SCAN", b"0"]):  # fmt: skip
        pair.both([b"FLUSHALL"])
        pair.both([b"SET", b"b", b"1"])
        pair.both([b"SET", b"a", b"1", b"PX", b"1"])
        listeners.heard()
        gone_at = time.monotonic() + 0.004
        wait_until(lambda end=gone_at: time.monotonic() > end, 5, "the deadline to pass")  # type: ignore[misc]
        pair.both(command)
        ours, theirs = listeners.heard()
        assert ours == theirs, command
