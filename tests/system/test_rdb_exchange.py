"""RDB files and DUMP payloads between this node and a real redis-server, both ways, in every encoding.

What a client of the one sees is compared with what a client of the other sees; redis-check-rdb reads our files.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.bringup.client import Argument, ReplyError, RespClient
from tests.persistence.old_payloads import PAYLOADS, old_file, payload
from tests.system.harness import Harness, Server, ServerKind

pytestmark = pytest.mark.system

ALONE = {"cluster-enabled": "no"}
BIG = "x" * 5000
FAR_MS = 4_000_000_000_000

DATA: Sequence[tuple[Argument, ...]] = (
    ("SET", "str:empty", ""), ("SET", "str:small", "hello"), ("SET", "str:int8", -100), ("SET", "str:int16", 30000),
    ("SET", "str:int32", -2_000_000_000), ("SET", "str:int64", 9_223_372_036_854_775_807), ("SET", "str:big", BIG),
    ("SET", "str:zeros", "0012"), ("SET", b"\xff\x00binary", b"\x00\xff\r\n"), ("SET", "str:ttl", "v", "PXAT", FAR_MS),
    ("RPUSH", "list:one", "a"), ("RPUSH", "list:mixed", "a", 1, -1, 4096, 70000, 5_000_000_000, "x" * 64, BIG),
    ("RPUSH", "list:long", *range(3000)), ("RPUSH", "list:plain", "y" * 20000, "z" * 9000),
    ("SADD", "set:int16", 1, 2, 3), ("SADD", "set:int32", 1, 100_000), ("SADD", "set:int64", -5, 10_000_000_000),
    ("SADD", "set:many", *range(600)), ("SADD", "set:text", "a", "b", "1"),
    ("HSET", "hash:small", "f", "v", "n", 12), ("HSET", "hash:long", "f", "v" * 65),
    ("HSET", "hash:many", *(str(number) for number in range(1200))), ("PEXPIREAT", "hash:many", FAR_MS),
    ("ZADD", "zset:small", 1, "a", "-2.5", "b", "inf", "c", "-inf", "d", "1e300", "e", "0.1", "f"),
    ("ZADD", "zset:long", 3, "m" * 65, "3.3", "n"),
    ("ZADD", "zset:many", *(part for number in range(200) for part in (str(number / 3), f"m{number}"))),
)  # fmt: skip
KEYS = [command[1] for command in DATA if command[0] != "PEXPIREAT"]
STREAMS: Sequence[tuple[Argument, ...]] = (
    ("XADD", "stream:small", "1-1", "f", "v"), ("XADD", "stream:small", "1-2", "f", 7, "g", BIG),
    ("XADD", "stream:small", "5-18446744073709551615", "f", -300), ("XADD", "stream:small", "6-0", "f", "last"),
    ("XDEL", "stream:small", "1-2"),
    *(("XADD", "stream:long", f"{1_700_000_000_000 + number}-{number % 3}", "f", number, "g", "x" * (number % 90))
      for number in range(350)),
    *(("XDEL", "stream:long", f"{1_700_000_000_000 + number}-{number % 3}") for number in range(90, 230, 3)),
    ("XTRIM", "stream:long", "MAXLEN", 280), ("PEXPIREAT", "stream:long", FAR_MS),
    ("XGROUP", "CREATE", "stream:long", "readers", 0), ("XGROUP", "CREATE", "stream:long", "late", "$"),
    ("XREADGROUP", "GROUP", "readers", "alice", "COUNT", 40, "STREAMS", "stream:long", ">"),
    ("XREADGROUP", "GROUP", "readers", "bob", "COUNT", 5, "STREAMS", "stream:long", ">"),
    ("XREADGROUP", "GROUP", "readers", "bob", "NOACK", "COUNT", 5, "STREAMS", "stream:long", ">"),
    ("XGROUP", "CREATECONSUMER", "stream:long", "readers", "carol"),
    ("XAUTOCLAIM", "stream:long", "readers", "bob", 0, "-", "COUNT", 7), ("XTRIM", "stream:long", "MAXLEN", 270),
    ("XAUTOCLAIM", "stream:long", "readers", "dave", 0, "-", "COUNT", 12), ("XADD", "stream:long", "*", "f", "v"),
    ("XGROUP", "CREATE", "stream:empty", "g", "5-5", "MKSTREAM"), ("XSETID", "stream:empty", "7-7"),
)  # fmt: skip
KEYS += ["stream:small", "stream:long", "stream:empty"]
_READS: dict[str, tuple[Argument, ...]] = {
    "string": ("GET",), "list": ("LRANGE", 0, -1), "set": ("SMEMBERS",), "hash": ("HGETALL",),
    "zset": ("ZRANGE", 0, -1, "WITHSCORES"),
}  # fmt: skip


def stream_seen(client: RespClient, key: Argument) -> object:
    """A stream, what it knows of its past, and its groups: what is pending with whom, but for the times."""
    info = client.call("XINFO", "STREAM", key)
    groups = client.call("XINFO", "GROUPS", key)
    assert isinstance(info, list)
    assert isinstance(groups, list)
    shown: list[object] = [client.call("XRANGE", key, "-", "+"), info[0:2], info[6:]]
    for group in groups:
        pending = client.call("XPENDING", key, group[1], "-", "+", 1000)
        assert isinstance(pending, list)
        shown += [group[:8], [(entry[0], entry[1], entry[3]) for entry in pending]]
    return shown


def seen(server: Server, key: Argument) -> tuple[str, object, object]:
    """What a client sees of a key: its type, its content, its deadline."""
    with server.client() as client:
        kind = client.text("TYPE", key)
        if kind == "stream":
            return kind, stream_seen(client, key), client.call("PEXPIRETIME", key)
        name, *rest = _READS[kind]
        content = client.call(name, key, *rest)
        if kind in ("set", "hash"):
            assert isinstance(content, list)
            step = 2 if kind == "hash" else 1
            content = sorted(tuple(content[at : at + step]) for at in range(0, len(content), step))
        if kind == "zset":  # Redis 7.0 shows 0.1 as 0.10000000000000001, later ones as 0.1.
            assert isinstance(content, list)
            content = [(member, float(score)) for member, score in zip(content[::2], content[1::2], strict=True)]
        return kind, content, client.call("PEXPIRETIME", key)


def encoding(server: Server, key: Argument) -> str:
    """OBJECT ENCODING, by the names of Redis 7.0: later ones show small lists and small sets of text as listpacks."""
    name = server.text("OBJECT", "ENCODING", key)
    if name == "listpack":
        return {"list": "quicklist", "set": "hashtable"}.get(server.text("TYPE", key), name)
    return name


def fill(server: Server) -> None:
    with server.client() as client:
        failures = [answer for answer in client.pipeline(*DATA, *STREAMS) if isinstance(answer, ReplyError)]
    assert not failures


def payload_of(server: Server, key: Argument) -> bytes:
    with RespClient(server.host, server.port, encoding=None) as client:
        payload = client.call("DUMP", key)
    assert isinstance(payload, bytes)
    return payload


@pytest.fixture(scope="module")
def ours(shared_harness: Harness) -> Server:
    return shared_harness.server(ALONE, kind="ours")


@pytest.fixture(scope="module")
def theirs(shared_harness: Harness) -> Server:
    return shared_harness.server(ALONE, kind="redis")


@pytest.mark.parametrize("direction", ["to redis-server", "from redis-server"])
def test_every_payload_is_restored_at_the_other(ours: Server, theirs: Server, direction: str) -> None:
    source, target = (ours, theirs) if direction == "to redis-server" else (theirs, ours)
    for server in (source, target):
        server.call("FLUSHALL")
    fill(source)
    for key in KEYS:
        deadline = source.call("PEXPIRETIME", key)
        assert isinstance(deadline, int)
        payload = payload_of(source, key)
        assert target.call("RESTORE", key, max(deadline, 0), payload, "ABSTTL") == "OK"
        assert seen(target, key) == seen(source, key), key
        assert encoding(target, key) == encoding(source, key), key
        if key == "stream:long":  # how many entries the groups have read, too
            assert target.call("XINFO", "GROUPS", key) == source.call("XINFO", "GROUPS", key)


def test_a_payload_comes_back_from_the_other_as_it_went(ours: Server, theirs: Server) -> None:
    for server in (ours, theirs):
        server.call("FLUSHALL")
    fill(theirs)
    for key in KEYS:
        assert ours.call("RESTORE", key, 0, payload_of(theirs, key)) == "OK"
        assert theirs.call("RESTORE", "back", 0, payload_of(ours, key), "REPLACE") == "OK"
        assert seen(theirs, "back")[:2] == seen(theirs, key)[:2], key
        assert theirs.text("OBJECT", "ENCODING", "back") == theirs.text("OBJECT", "ENCODING", key), key
        assert encoding(ours, key) == encoding(theirs, key), key


@pytest.mark.parametrize("kind", ["ours", "redis"])
def test_the_samples_of_old_encodings_are_what_redis_server_takes_them_for(
    ours: Server, theirs: Server, harness: Harness, kind: ServerKind
) -> None:
    server = ours if kind == "ours" else theirs
    with RespClient(server.host, server.port, encoding=None) as client:
        for old in PAYLOADS:
            assert client.call("RESTORE", "key", 0, payload(old), "REPLACE") == b"OK", old.name
            found = client.call(*old.command)
            assert isinstance(found, list)
            in_order = old.command[0] in ("LRANGE", "ZRANGE")
            seen_and_meant = (found, old.content) if in_order else (sorted(found), sorted(old.content))
            assert seen_and_meant[0] == seen_and_meant[1], old.name
    starting = harness.server(ALONE, kind=kind, start=False)
    starting.directory.mkdir(parents=True)
    (starting.directory / "dump.rdb").write_bytes(old_file(3))
    starting.start()
    assert starting.call("DBSIZE") == 2
    with starting.client() as client:
        client.call("SELECT", 3)
        assert client.call("DBSIZE") == 2 + len(PAYLOADS)
        assert client.call("STRLEN", "packed") == 100
        client.call("SELECT", 0)
        assert client.call("PEXPIRETIME", "s") == 2_000_000_000_000


@pytest.mark.parametrize("arguments", [
    ("k", 0, b"junk"), ("k", -1, b"junk"), ("k", "x", b"junk"), ("k", 0, b""), ("k", 0, b"junk", "IDLETIME"),
    ("k", 0, b"junk", "IDLETIME", -1), ("k", 0, b"junk", "IDLETIME", "x"), ("k", 0, b"junk", "FREQ", 256),
    ("k", 0, b"junk", "FREQ", -1), ("k", 0, b"junk", "IDLETIME", 1, "FREQ", 1), ("k", 0, b"junk", "COLOUR"),
    ("there", 0, b"junk"), ("there", -1, b"junk"), ("there", 0, b"junk", "REPLACE"),
])  # fmt: skip
def test_refusals_are_the_same(ours: Server, theirs: Server, arguments: tuple[Argument, ...]) -> None:
    answers = []
    for server in (ours, theirs):
        server.call("SET", "there", "1")
        with server.client() as client:
            answers.append(str(client.pipeline(("RESTORE", *arguments))[0]))
    assert answers[0] == answers[1]


def test_options_of_restore_act_alike(ours: Server, theirs: Server) -> None:
    answers = []
    for server in (ours, theirs):
        server.call("FLUSHALL")
        server.call("SET", "k", "old")
        payload = payload_of(server, "k")
        with server.client() as client:
            answers.append([str(answer) for answer in client.pipeline(
                ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
                ("RESTORE", "idle", 0, payload, "IDLETIME", 1000), ("OBJECT", "IDLETIME", "idle"),
                ("RESTORE", "k", 0, payload), ("RESTORE", "k", 0, payload, "REPLACE"), ("PTTL", "k"),
                ("RESTORE", "past", 1000, payload, "ABSTTL"), ("EXISTS", "past"),
                ("RESTORE", "k", 1000, payload, "ABSTTL", "REPLACE"), ("EXISTS", "k"),
                ("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu"),
                ("RESTORE", "often", 0, payload, "FREQ", 200), ("OBJECT", "FREQ", "often"),
                ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
            )])  # fmt: skip
    assert answers[0] == answers[1]


@pytest.mark.parametrize("writer", ["ours", "redis"])
@pytest.mark.parametrize("compressed", ["yes", "no"])
def test_a_whole_file_is_loaded_by_the_other(harness: Harness, writer: ServerKind, compressed: str) -> None:
    source = harness.server({**ALONE, "rdbcompression": compressed}, kind=writer)
    fill(source)
    with source.client() as client:
        client.call("SELECT", 5)
        client.call("SET", "elsewhere", "5")
    source.call("SAVE")
    target = harness.server(ALONE, kind="redis" if writer == "ours" else "ours", start=False)
    target.directory.mkdir()
    file = source.directory / "dump.rdb"
    shutil.copy(file, target.directory)
    assert "RDB looks OK" in checked(file)
    target.start()
    assert target.call("DBSIZE") == source.call("DBSIZE")
    for key in KEYS:
        assert seen(target, key) == seen(source, key), key
    with target.client() as client:
        client.call("SELECT", 5)
        assert client.call("GET", "elsewhere") == "5"


LONG_IDLE = 500_000
FIGURES: dict[str, tuple[str, str, int]] = {
    "allkeys-lru": ("IDLETIME", "IDLETIME", LONG_IDLE), "volatile-lru": ("IDLETIME", "IDLETIME", LONG_IDLE),
    "allkeys-lfu": ("FREQ", "FREQ", 200), "noeviction": ("IDLETIME", "IDLETIME", 0),
}  # fmt: skip
"""By policy: RESTORE's option, OBJECT's subcommand, and the figure, which a file carries along under that policy."""


@pytest.mark.parametrize("writer", ["ours", "redis"])
@pytest.mark.parametrize("policy", FIGURES)
def test_a_file_tells_how_keys_were_used(harness: Harness, writer: ServerKind, policy: str) -> None:
    option, figure, value = FIGURES[policy]
    source = harness.server({**ALONE, "maxmemory-policy": policy}, kind=writer)
    source.call("SET", "k", "v")
    payload = payload_of(source, "k")
    source.call("RESTORE", "used", 0, payload, option, value)
    source.call("RESTORE", "volatile", FAR_MS, payload, option, value, "ABSTTL")
    source.call("SAVE")
    assert "RDB looks OK" in checked(source.directory / "dump.rdb")
    target = harness.server(
        {**ALONE, "maxmemory-policy": policy}, kind="redis" if writer == "ours" else "ours", start=False
    )
    target.directory.mkdir()
    shutil.copy(source.directory / "dump.rdb", target.directory)
    target.start()
    source.kill()
    source.start()
    for server in (source, target):
        for key in ("used", "volatile"):
            shown = server.call("OBJECT", figure, key)
            assert isinstance(shown, int)
            assert value <= shown < value + 100, (server, key)
        assert server.call("PEXPIRETIME", "volatile") == FAR_MS
        fresh = server.call("OBJECT", figure, "k")
        assert isinstance(fresh, int)
        assert fresh < 100


def checked(file: Path) -> str:
    """What redis-check-rdb says."""
    run = subprocess.run(["redis-check-rdb", str(file)], capture_output=True, text=True, timeout=30, check=False)
    return run.stdout


def test_a_background_save_is_whole_and_a_broken_file_keeps_the_server_down(harness: Harness) -> None:
    server = harness.server({**ALONE, "save": "3600 1"}, kind="ours")
    server.call("SET", "kept", "1")
    assert server.terminate() == 0
    file = server.directory / "dump.rdb"
    assert "RDB looks OK" in checked(file)
    whole = file.read_bytes()
    server.start()
    assert server.call("GET", "kept") == "1"
    server.kill()
    file.write_bytes(whole[:-9])
    server.start(wait=False)
    assert server.wait_end() == 1
    assert "at offset" in server.log_tail(3)
    file.write_bytes(whole)
    server.start()
    assert server.call("GET", "kept") == "1"
