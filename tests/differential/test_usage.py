"""What counts as use of a key: OBJECT IDLETIME and FREQ after each command are those of redis-server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.differential.machine import Pair
from tests.differential.resp import Reply
from tests.newer_server import newer_server

IDLE_S = 1000
POLICIES = {
    "idletime": [("maxmemory-policy", "noeviction")],
    "idletime of lru": [("maxmemory-policy", "allkeys-lru")],
    "freq": [("maxmemory-policy", "volatile-lfu"), ("lfu-log-factor", "0"), ("lfu-decay-time", "0")],
}
"""The last with a counter that counts every use, and forgets none."""
LINES = """
SET k x: GET k; GETRANGE k 0 1; STRLEN k; TTL k; PTTL k; EXPIRETIME k; TYPE k; EXISTS k; TOUCH k; TOUCH k k; DUMP k
SET k x: OBJECT ENCODING k; OBJECT REFCOUNT k; MEMORY USAGE k; SCAN 0; KEYS *; RANDOMKEY; MGET k; LCS k k; BITCOUNT k
SET k x: SET k y; SET k y KEEPTTL; SET k y GET; SETNX k 2; SET k 2 NX; SET k 2 XX; SET k 2 EX 9; GETSET k v; GETEX k
SET k x: GETEX k EX 100; APPEND k x; SETRANGE k 0 v; EXPIRE k 100; EXPIRE k 100 XX; PERSIST k; MSET k v; MSETNX k v
SET k x: SETBIT k 1 0; GETBIT k 1; BITPOS k 1; BITOP NOT o k; BITOP NOT k k; BITFIELD k GET u8 0; BITFIELD k SET u8 0 1
SET k x: RENAME k k; RENAMENX k k; COPY k o; COPY o k REPLACE; INCR k; LPUSH k 1; SADD k 1; HSET k f 1; XLEN k; SORT k
SET k x: PFCOUNT k; SINTER k; ZUNION 1 k; SDIFFSTORE o k; SMOVE k o x; LMOVE k o LEFT LEFT; GEOPOS k x; OBJECT HELP
SET k 5: INCR k; INCRBY k 2; DECR k; INCRBYFLOAT k 1.5; APPEND k 1; SUBSTR k 0 1
RPUSH k a b c: LLEN k; LRANGE k 0 -1; LINDEX k 0; LPUSH k 1; RPUSHX k 1; LPOP k; RPOP k 1; LSET k 0 x; LREM k 0 a
RPUSH k a b c: LTRIM k 0 1; LINSERT k BEFORE b x; LPOS k a; LMOVE k k LEFT RIGHT; LMOVE k o LEFT RIGHT; RPOPLPUSH k k
RPUSH k a b c: BLPOP k 1; LMPOP 1 k LEFT; SORT k ALPHA; SORT k ALPHA STORE o; SORT_RO k ALPHA; LMOVE o k LEFT LEFT
HSET k f 1 g 2: HGET k f; HMGET k f; HGETALL k; HLEN k; HSTRLEN k f; HEXISTS k f; HKEYS k; HRANDFIELD k; HSCAN k 0
HSET k f 1 g 2: HSET k f 2; HSETNX k f 2; HDEL k f; HDEL k x; HINCRBY k f 1; HINCRBYFLOAT k f 1; HTTL k FIELDS 1 f
HSET k f 1 g 2: HEXPIRE k 100 FIELDS 1 f; HPERSIST k FIELDS 1 f; HGETEX k FIELDS 1 f; HGETDEL k FIELDS 1 f; HVALS k
SADD k 1 2 3: SCARD k; SISMEMBER k 1; SMISMEMBER k 1; SMEMBERS k; SRANDMEMBER k 2; SPOP k; SADD k 1; SREM k 1; SSCAN k 0
SADD k 1 2 3: SMOVE k o 1; SMOVE o k 1; SINTER k k; SUNION k o; SINTERCARD 1 k; SINTERSTORE o k; SUNIONSTORE o k; SORT k
ZADD k 1 a 2 b: ZCARD k; ZSCORE k a; ZRANK k a; ZRANGE k 0 -1; ZCOUNT k 0 1; ZADD k 1 a; ZADD k 5 a; ZINCRBY k 1 a
ZADD k 1 a 2 b: ZREM k a; ZPOPMIN k; ZMPOP 1 k MIN; ZREMRANGEBYSCORE k 0 1; ZSCAN k 0; ZUNIONSTORE o 1 k; GEODIST k a b
XADD k 1-1 f v: XLEN k; XRANGE k - +; XREAD STREAMS k 0; XADD k * f v; XDEL k 1-1; XTRIM k MAXLEN 9; XINFO STREAM k
XADD k 1-1 f v: XGROUP CREATE k g 0; XSETID k 5-5; XGROUP DESTROY k g; XPENDING k g; XACK k g 1-1
""".strip().splitlines()


@pytest.fixture(scope="module", params=POLICIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, bytes]]:
    directives = [*POLICIES[request.param], ("databases", "2")]
    pair = Pair(tmp_path_factory.mktemp("usage"), *directives, program=newer_server())
    yield pair, request.param.partition(" ")[0].upper().encode()
    pair.close()


def shown(what: bytes, reply: Reply) -> object:
    """A number of uses, or whether much time has passed."""
    if reply.kind != ":" or what != b"IDLETIME":
        return reply
    return int(str(reply.value, "ascii")) > IDLE_S // 2  # type: ignore[call-overload]


@pytest.mark.parametrize("no_touch", [False, True])
@pytest.mark.parametrize("line", LINES)
def test_a_command_counts_as_use_where_it_does_in_redis_server(
    subject: tuple[Pair, bytes], line: str, no_touch: bool
) -> None:
    pair, what = subject
    made, _, commands = line.partition(": ")
    option = [b"IDLETIME", b"%d" % IDLE_S] if what == b"IDLETIME" else [b"FREQ", b"10"]
    for command in commands.split("; "):
        pair.both([b"FLUSHALL"])  # `begin` forgets no uses
        pair.begin(2)
        pair.both(made.encode().split())
        payload = pair.oracle(b"DUMP", b"k").value
        assert isinstance(payload, bytes)
        pair.both([b"RESTORE", b"k", b"0", payload, b"REPLACE", *option])
        pair.both([b"CLIENT", b"NO-TOUCH", b"ON" if no_touch else b"OFF"])
        pair.both(command.encode().split())
        for key in (b"k", b"o"):
            ours, theirs = pair.both([b"OBJECT", what, key])
            assert shown(what, ours) == shown(what, theirs), (command, key)


def test_who_does_not_touch_can(subject: tuple[Pair, bytes]) -> None:
    """What NO-TOUCH says holds from the next command on, for one connection, until RESET or OFF; TOUCH is beyond it."""
    pair, what = subject
    for end in ([b"RESET"], [b"CLIENT", b"NO-TOUCH", b"OFF"], [b"TOUCH", b"k"]):
        pair.begin(2)
        pair.both([b"SET", b"k", b"v"])
        payload = pair.oracle(b"DUMP", b"k").value
        assert isinstance(payload, bytes)
        option = [b"IDLETIME", b"%d" % IDLE_S] if what == b"IDLETIME" else [b"FREQ", b"10"]
        restore = [b"RESTORE", b"k", b"0", payload, b"REPLACE", *option]
        ask = [b"OBJECT", what, b"k"]
        commands = [restore, [b"CLIENT", b"NO-TOUCH", b"ON"], [b"GET", b"k"], ask, end, ask, [b"GET", b"k"], ask]
        ours, theirs = ([shown(what, one) for one in replies] for replies in pair.both_at_once(commands))
        assert ours == theirs
        pair.both(restore)
        pair.both_from_others([b"GET", b"k"])
        ours, theirs = ([shown(what, one)] for one in pair.both(ask))
        assert ours == theirs


def test_errors_are_the_same(subject: tuple[Pair, bytes]) -> None:
    pair, what = subject
    pair.both([b"FLUSHALL"])
    pair.begin(2)
    pair.both([b"SET", b"k", b"v"])
    for words in ("OBJECT FREQ k", "OBJECT IDLETIME k", "OBJECT FREQ x", "OBJECT IDLETIME x", "OBJECT FREQ",
                  "OBJECT IDLETIME k k", "CLIENT NO-TOUCH", "CLIENT NO-TOUCH x", "TOUCH"):  # fmt: skip
        ours, theirs = pair.both(words.encode().split())
        assert shown(what, ours) == shown(what, theirs), words
