"""Append-only files between this node and a real redis-server, both ways, every type; redis-check-aof reads ours."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.harness import Harness, Server, ServerKind
from tests.system.test_rdb_exchange import ALONE, FAR_MS, KEYS, fill, seen
from tests.system.waiting import wait_until

pytestmark = pytest.mark.system

DEADLINE_S = 20.0
LOGGED = {**ALONE, "appendonly": "yes", "appendfsync": "no"}
OTHER: dict[ServerKind, ServerKind] = {"ours": "redis", "redis": "ours"}


def checked(server: Server) -> None:
    """redis-check-aof finds nothing to complain of."""
    manifest = server.directory / "appendonlydir" / "appendonly.aof.manifest"
    run = subprocess.run(["redis-check-aof", str(manifest)], capture_output=True, text=True, timeout=30, check=False)
    assert "All AOF files and manifest are valid" in run.stdout, run.stdout + run.stderr


def rewrite(server: Server) -> None:
    server.call("BGREWRITEAOF")
    wait_until(lambda: server.info("persistence")["aof_rewrite_in_progress"] == "0", DEADLINE_S, "it is rewritten")
    assert server.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def handed_over(harness: Harness, source: Server, **directives: str) -> Server:
    """The other kind of server over what `source`, which is ended, has written."""
    shown = source.call("DEBUG", "DIGEST")
    source.kill()
    checked(source)
    target = harness.server({**LOGGED, **directives}, kind=OTHER[source.kind], start=False)
    shutil.copytree(source.directory / "appendonlydir", target.directory / "appendonlydir")
    target.start()
    assert target.call("DEBUG", "DIGEST") == shown
    return target


def effects(server: Server) -> None:
    """Writes whose effects are not what was sent: they depend on the time, on chance, or on who waits."""
    with server.client() as client:
        for command in (
            ("SADD", "many", *range(50)), ("SPOP", "many", 20), ("SPOP", "many"), ("SETEX", "soon", 1000, "v"),
            ("SET", "now", "v", "PX", 1), ("INCRBYFLOAT", "float", "0.1"), ("INCRBYFLOAT", "float", "0.2"),
            ("HINCRBYFLOAT", "h", "f", "3.0e3"), ("GETEX", "soon", "PERSIST"), ("GETDEL", "float"),
            ("RPUSH", "list", *range(20)), ("LMOVE", "list", "other", "LEFT", "RIGHT"), ("SORT", "list", "STORE", "st"),
            ("XADD", "x", "MAXLEN", "~", 5, "*", "f", "v"), ("XADD", "x", "NOMKSTREAM", "*", "f", "v"),
            ("PFADD", "hll", *range(100)), ("GEOADD", "geo", 13.361389, 38.115556, "Palermo"), ("BLPOP", "list", 1),
            ("ZADD", "z", 1, "a", 2, "b"), ("ZPOPMIN", "z"), ("COPY", "z", "zz"), ("RENAME", "zz", "zzz"),
            ("MULTI",), ("INCR", "n"), ("SPOP", "none"), ("INCR", "n"), ("EXEC",), ("SETRANGE", "r", 10, "x"),
            ("SELECT", 7), ("SET", "k", "7"), ("MOVE", "k", 8), ("SWAPDB", 7, 8), ("EXPIRE", "k", -1),
            ("SET", "k", "8"), ("PEXPIREAT", "k", FAR_MS), ("BITFIELD", "bf", "SET", "u8", 0, 255), ("UNLINK", "bf"),
            ("SELECT", 0),
        ):  # fmt: skip
            client.call(*command)
        wait_until(lambda: client.call("EXISTS", "now") == 0, DEADLINE_S, "a key expires")


@pytest.mark.parametrize("writer", ["ours", "redis"])
@pytest.mark.parametrize("base", ["none", "rdb", "commands"])
def test_the_other_has_the_same_data(harness: Harness, writer: ServerKind, base: str) -> None:
    preamble = "no" if base == "commands" else "yes"
    source = harness.server({**LOGGED, "aof-use-rdb-preamble": preamble, "aof-timestamp-enabled": "yes"}, kind=writer)
    fill(source)
    effects(source)
    if base != "none":
        rewrite(source)
        with source.client() as client:
            client.pipeline(("SELECT", 5), ("SET", "elsewhere", "5"), ("INCR", "elsewhere"))
    before = {key: seen(source, key) for key in KEYS}
    target = handed_over(harness, source)
    assert {key: seen(target, key) for key in KEYS} == before
    target.call("RPUSH", "list:one", "more")
    rewrite(target)
    handed_over(harness, target)


@pytest.mark.parametrize("tail", [
    b"*2\r\n$4\r\nINCR\r\n$1\r\n", b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
])  # fmt: skip
def test_a_torn_end_is_cut_where_redis_cuts_it(harness: Harness, tail: bytes) -> None:
    ours = harness.server(LOGGED, kind="ours")
    ours.call("SET", "n", 1)
    ours.kill()
    sizes = []
    for kind in ("ours", "redis"):
        server = harness.server(LOGGED, kind=kind, start=False)
        shutil.copytree(ours.directory / "appendonlydir", server.directory / "appendonlydir")
        file = server.directory / "appendonlydir" / "appendonly.aof.1.incr.aof"
        file.write_bytes(file.read_bytes() + tail)
        server.start()
        assert server.call("GET", "n") == "1"
        sizes.append(file.stat().st_size)
    assert sizes[0] == sizes[1]


def test_a_file_of_one_part_is_moved_in_as_redis_moves_it(harness: Harness, tmp_path: Path) -> None:
    manifests = []
    for kind in ("ours", "redis"):
        server = harness.server(LOGGED, kind=kind, start=False)
        server.directory.mkdir()
        (server.directory / "appendonly.aof").write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nn\r\n$1\r\n1\r\n")
        server.start()
        assert server.call("GET", "n") == "1"
        manifests.append((server.directory / "appendonlydir" / "appendonly.aof.manifest").read_text())
        checked(server)
    assert manifests[0] == manifests[1]


def test_what_only_a_newer_redis_has_comes_back(harness: Harness) -> None:
    """Fields of hashes that expire, by snapshot and by commands."""
    for preamble in ("yes", "no"):
        ours = harness.server({**LOGGED, "aof-use-rdb-preamble": preamble}, kind="ours")
        with ours.client() as client:
            client.pipeline(("HSET", "h", "f", 1, "g", 2, "e", 3), ("HPEXPIREAT", "h", FAR_MS, "FIELDS", 1, "f"))
            client.pipeline(("HPEXPIRE", "h", 1, "FIELDS", 1, "e"), ("HSETEX", "h", "EX", 1000, "FIELDS", 1, "g", 4))
        rewrite(ours)
        ours.call("HPEXPIREAT", "h", FAR_MS + 1, "FIELDS", 1, "f")
        shown = ours.call("HPEXPIRETIME", "h", "FIELDS", 3, "f", "g", "e")
        ours.kill()
        for kind in ("newer", "ours"):
            server = harness.server(LOGGED, kind=kind, start=False)
            shutil.copytree(ours.directory / "appendonlydir", server.directory / "appendonlydir")
            server.start()
            assert server.call("HPEXPIRETIME", "h", "FIELDS", 3, "f", "g", "e") == shown
            assert server.call("HMGET", "h", "f", "g", "e") == ["1", "4", None]
