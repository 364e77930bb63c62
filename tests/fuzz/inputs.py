"""Real inputs of every kind, and the pieces that each has at its edges."""

from __future__ import annotations

from pathlib import Path

from bus.messages import (
    Announcement,
    Data,
    DataQuestion,
    Fail,
    Heartbeat,
    Interest,
    Item,
    ManualFailoverStart,
    Member,
    Members,
    Message,
    Messages,
    TakeOver,
    Update,
    Vote,
    VoteRequest,
)
from cluster.config.store import Configuration
from cluster.persistence.rdb_writer import functions_payload
from cluster.protocol.replies import request

ROOT = Path(__file__).resolve().parents[2]
MANY_DIGITS = b"9" * 5000
"""More than Python converts."""

# -- requests ----------------------------------------------------------------------------------------------------

_COMMANDS = [
    "SET a 1", "GET a", "INCR a", "MULTI", "SET b 2", "EXEC", "LPUSH l a b c", "LRANGE l 0 -1", "HSET h f v",
    "HGETALL h", "SUBSCRIBE c", "UNSUBSCRIBE", "PING", "HELLO 3", "HELLO 2", "CLIENT REPLY SKIP", "WATCH a", "UNWATCH",
    "CONFIG GET max*", "AUTH x", "AUTH secret", "SELECT 1", "DEL a b", "XADD s 1-1 a b", "XRANGE s - +",
    "ZADD z 1 a 2 b", "ZRANGE z 0 -1 WITHSCORES", "COMMAND COUNT", "ECHO hello", "RESET", "GETRANGE a 0 -1",
]  # fmt: skip
_AS_RESP = [request(line.encode().split(b" ")) for line in _COMMANDS]
CONVERSATIONS = [
    b"".join(_AS_RESP), b"".join(_AS_RESP[:6]), b"".join(f"{line}\r\n".encode() for line in _COMMANDS),
    b"".join(_AS_RESP[at] if at % 2 else f"{line}\n".encode() for at, line in enumerate(_COMMANDS)),
    b'SET "a b" \'c\'\r\nGET "\\x61 b"\r\n', request([b"SET", b"big", b"x" * 20_000]) + request([b"GET", b"big"]),
    b"".join(request([b"PING"]) for _ in range(300)), request([b"MSET", *[b"k"] * 40]), _AS_RESP[0], b"*0\r\n\r\n" * 9,
]  # fmt: skip
IN_REQUESTS = [
    b"*", b"$", b"\r\n", b"\n", b"\r", b"*-1\r\n", b"*0\r\n", b"*1\r\n", b"*10\r\n", b"*11\r\n", b"*2147483647\r\n",
    b"*2147483648\r\n", b"*1000000000\r\n", b"*9999\r\n", b"*99999\r\n", b"$-1\r\n", b"$0\r\n", b"$16384\r\n",
    b"$16385\r\n", b"$536870912\r\n", b"$536870913\r\n", b"$" + MANY_DIGITS, b"*" + MANY_DIGITS, b"$00\r\n",
    b"*1\r\n" * 20, b"+OK\r\n", b":1\r\n", b"_\r\n", b"#t\r\n", b"(1\r\n", b"%1\r\n", b"~1\r\n", b">1\r\n", b"|1\r\n",
    b"=4\r\ntxt:\r\n", b"\0", b'"', b"'", b"\\x", b"\xff", b"x" * 70_000, b"*3\r\n$3\r\nSET\r\n",
]  # fmt: skip

# -- the bus -----------------------------------------------------------------------------------------------------

IDS = [f"{number:02x}" * 20 for number in range(1, 7)]
_FIRST, _SECOND, _THIRD, _FOURTH, *_ = IDS
NODES_CONF = (
    f"{_FIRST} 10.0.0.1:7000@17000,,shard-id={_FIRST} myself,master - 0 0 1 connected 0-5460 [5->-{_SECOND}]\n"
    f"{_SECOND} 10.0.0.2:7001@17001,h.x,shard-id={_SECOND},nodename=n,tls-port=8001 master - 0 17 2 connected "
    f"5461-10922\n{_THIRD} ::1:7002@17002 slave,fail? {_FIRST} 0 0 1 connected\n"
    f"{_FOURTH} :0@0 noaddr,master,fail - 11 12 3 disconnected 10923-16383\n"
    f"vars currentEpoch 5 lastVoteEpoch 2 clusterId {_THIRD}\n"
)
_REDIS_7_0 = (
    f"{_FIRST} 127.0.0.1:7000@17000, myself,slave {_SECOND} 0 0 3 connected\n"
    f"{_SECOND} 127.0.0.1:7001@17001, master - 0 1700000000000 2 connected 0-100 102-16383 [101-<-{_THIRD}]\n"
    f"{_THIRD} 127.0.0.1:7002@17002, handshake - 0 1 0 disconnected\nvars currentEpoch 5 lastVoteEpoch 0\n"
)
_REDIS_7_2 = (
    f"{_SECOND} 10.0.0.2:6379@16379,,tls-port=0,shard-id={_THIRD} master - 0 1700000000000 2 connected 8192-16383\n"
    f"{_FIRST} 10.0.0.1:6379@16379,,tls-port=0,shard-id={_FOURTH} myself,master - 0 0 1 connected 0-8191\n"
    "vars currentEpoch 2 lastVoteEpoch 1\n"
)
NODES_CONFS = [text.encode() for text in (NODES_CONF, _REDIS_7_0, _REDIS_7_2)]
IN_NODES_CONF = [
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", MANY_DIGITS, b"-1", b"\xd9\xa3", b"16384",
    b"0-16383", b"5-4", b"[5-", b"[5->-" + b"ee" * 20 + b"]", b"myself,", b"slave,", b"handshake,", b"-", b" ", b"\n",
    b"\r", b"\x1c", b"\xe2\x80\xa8", b"\0", b"\xff", b",,,", b"tls-port=65536", b"shard-id=x", b"@99999", b":",
    b"vars ",
    *(one.encode() for one in IDS),
]  # fmt: skip
MESSAGES: list[Message] = [
    Heartbeat("ping", 5, 1, 100, b"d" * 8, b"m" * 8, (_THIRD,), True, 7, 1, 3, 2),
    Heartbeat("pong", 5, 1, 0, b"d" * 8, b"m" * 8),
    Announcement(5, 2, "10.0.0.2", 7001, 17001, 8001, "h.x", "n", _SECOND, "", False, ((5461, 10922),), "", 9),
    Announcement(5, 2, "", 7001, 17001, 0, "", "", _FIRST, _FIRST, True, (), _THIRD, 9, True),
    Members((Member(_FOURTH, "10.0.0.4", 7003, 17003), Member(IDS[5], "::1", 7, 8))), Fail(_THIRD),
    Update(_FOURTH, 9, ((0, 16383),)), VoteRequest(6, 3, ((0, 5460),), True), Vote(6), ManualFailoverStart(),
    Interest(1, 0, False, 1 << 16383), Interest(2, 1, True, (1 << 16384) - 1),
    Messages((Item(b"channel", b"message" * 9), Item(b"c", b"", True))), DataQuestion(),
    Data("ab" * 20, 100, None, True), Data("", 0, 5, False, True), TakeOver(),
]  # fmt: skip
IN_FRAMES = [
    b"\xc1", b"\xc0", b"\xc2", b"\xc4\x00", b"\xc6\xff\xff\xff\xff", b"\xc9\x7f\xff\xff\xff\x00", b"\xcb" + bytes(8),
    b"\xcf" + b"\xff" * 8, b"\xcf\x7f" + b"\xff" * 7, b"\xcf\x80" + bytes(7), b"\xd3" + b"\xff" * 8, b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x91" * 600, b"\x90", b"\x80", b"\xdb\x00\x00\xff\xff",
    b"\xa1\n", b"\xa3a b", b"\xa3..x", b"\x00\x10\x00\x00", b"\x00\x10\x00\x01", b"\xff" * 4, bytes(4),
    b"\x00\x00\x00\x06\xc1\x3f\xff\xff\xff\x00", b"\x00\x00\x00\x05\xc1\x00\x00\x00\x00",
    b"\x00\x00\x00\x06\xc1\0\0\0\5x",
]  # fmt: skip

# -- configuration -----------------------------------------------------------------------------------------------

CLUSTER_YAMLS = [
    (ROOT / "cluster.yaml").read_bytes(),
    b"""cluster:
  name: "a"
  replicas: 0
  node_timeout_ms: 500
  host: 127.0.0.1
  directory: /var/c
  password: "p"
  secret: 's'
  tls: yes
  directives: {maxmemory: 10mb, save: ["60 1", "30 2"], hz: 20, appendonly: yes, user: ["a on >b", "c off"]}
common: &common {directives: {hz: 5}}
nodes:
  - {port: 7000, bus_port: 17000, directory: one, host: "::1", directives: {timeout: 5}}
  - <<: *common
    port: 7001
""",
    b"nodes: [{port: 1}, {port: 2}]",
]
IN_YAML = [
    b"2001-02-31", b"2001-01-01 25:00:00", b"0b_", b"0x", b"!!int x", b"!!int ''", b"!!bool x", b"!!timestamp x",
    b"!!float x", b"!!binary '*'", b"!!set {a}", b"!!omap [a]", b"!!python/name:os", b"%YAML 9.9\n---\n", b"---\n",
    b"...\n", MANY_DIGITS, b"0x" + b"f" * 5000, b'"\\U00110000"', b'"\\UFFFFFFFF"', b'"\\ud800"', b'"\\0"', b"\0",
    b"[" * 1000, b"- " * 1000, b"{", b"&a ", b"*a", b"<<: ", b"? ", b": ", b"\n", b"\t", b"\xff", b"\xef\xbb\xbf", b"~",
    b".nan", b"1e999", b"1:1:1", b"yes", b"|\n", b">-\n", b"#", b"70000", b"-1",
]  # fmt: skip
REDIS_CONFS = [
    b"""# a comment
port 7000
bind 127.0.0.1 -::1
maxmemory 100mb
maxmemory-policy allkeys-lru
save 3600 1 300 100
requirepass "a \\x01 \\"b\\" \xc3\xa9"
client-output-buffer-limit normal 0 0 0
client-output-buffer-limit replica 256mb 64mb 60
notify-keyspace-events KEA
rename-command FLUSHALL ""
user alice on >p ~* +@all
include b.conf
include conf.d/*.conf
dir /tmp
tls-protocols "TLSv1.2 TLSv1.3"
latency-tracking-info-percentiles 50 99.9
oom-score-adj-values 0 200 800
unixsocketperm 700
replicaof 127.0.0.1 6379
cluster-enabled no
shutdown-on-sigterm nosave now
""",
    b"cluster-enabled yes\nport 7000\ncluster-secret 'x'\ncluster-node-timeout 500\nappendonly yes\n",
    b"hz 10\r\ntimeout\t5\r\nloglevel \"notice\"\n",
]
IN_REDIS_CONF = [
    b'"', b"'", b"\\x", b"\\x00", b"\\xff", b"\0", b"\n", b"\r", b" ", b"\t", b"\xff", b"#", MANY_DIGITS, b"-1", b"1e9",
    b"18446744073709551616", b"9223372036854775807", b"64mb", b"10%", b"include a.conf\n", b'include "\\x00*"\n',
    b"include c.conf\n", b"yes", b"no", b"x" * 3000, b"\xd9\xa3", b"loadmodule x\n", b"sentinel x\n",
    b"rename-command a b\n",
    b'dir "\\x00"\n', b"save \"\"\n", b"oom-score-adj yes\n",
]  # fmt: skip

# -- RESTORE -----------------------------------------------------------------------------------------------------

IN_ENCODINGS = [
    b"\xff\xff", b"\xfe\xff\xff\xff\xff", b"\xf0\xff\xff\xff\x7f", b"\xf1\xff\xff", b"\xf4" + b"\xff" * 8, b"\xef\xff",
    b"\x80\x01", b"\xc0\x00\x01", b"\xe0\x00\x01", b"\x7f", b"\x02\0\0\0", b"\x03\0\0\0", b"\x08\0\0\0", bytes(16),
    b"\xff" * 16, b"nan", b"inf", b"-nan", b"1_0", b"0x10", bytes(8), b"\x7f\xf8" + bytes(6), bytes(6) + b"\xf8\x7f",
]  # fmt: skip
_LIBRARIES = [
    b"#!lua name=one\nredis.register_function('f', function(keys, args) return 1 end)",
    b"#!lua name=two\nredis.register_function{function_name='g', callback=tostring, flags={'no-writes'}}",
]


def function_dumps() -> list[bytes]:
    """Without version and checksum."""
    return [functions_payload(_LIBRARIES[:count], Configuration([]))[:-10] for count in range(3)]
