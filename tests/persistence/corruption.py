"""Files and payloads that are broken, made from real ones by a seed, and what a node makes of them.

Run as a program (`python -m tests.persistence.corruption FIRST COUNT`), with as much memory as the process has and a
little more: it prints, as JSON, how many of each kind were taken and refused, and every outcome that nobody foresaw.

The real ones are redis-server's (tests/persistence/corpus): every type, in every encoding that Redis 7.0 and 8.2 write.
"""

from __future__ import annotations

import gc
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from traceback import format_exc

from cluster.config.store import Configuration
from cluster.persistence import rdb_format as rdb
from cluster.persistence.aof_directory import AofError
from cluster.persistence.rdb_reader import RdbError, load_rdb
from cluster.persistence.rdb_writer import dump_payload
from tests.commands.in_process import InProcessNode
from tests.persistence.aof_node import Node

CORPUS = Path(__file__).with_name("corpus")
SNAPSHOTS = [(CORPUS / f"redis-{version}.rdb").read_bytes() for version in ("7.0", "8.2")]
COMMANDS = (CORPUS / "redis-8.2.incr.aof").read_bytes()
MANIFEST = b"file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
MORE_MEMORY_BYTES = 64 << 20
PATIENCE_S = 30
HEADER_BYTES, CHECKSUM_BYTES = 9, 8

HUGE = b"\x81" + (1 << 60).to_bytes(8, "big")
IN_SNAPSHOTS = [
    HUGE, b"\x81" + b"\xff" * 8, b"\x80\xff\xff\xff\xff", b"\x80\x10\0\0\0", b"\x7f\xff", b"\xc0", b"\xc3", b"\xfe",
    b"\xf0\xff\xff\xff\xff", b"\xf4", b"\xff" * 4, bytes(4), b"\xc3" + HUGE + HUGE,
]  # fmt: skip
IN_COMMANDS = [
    b"*-1\r\n", b"*0\r\n", b"$-1\r\n", b"*1000000000\r\n", b"$999999999999999999\r\n", b"#TS:1\r\n", b"\0", b"+OK\r\n",
    b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n", b"*1\r\n" * 50, b"_\r\n", b"(1\r\n", b"9" * 30,
    b"*1\r\n$2\r\n\r\n\r\n",
]  # fmt: skip
IN_MANIFESTS = [
    b"\\x00", b'"', b"'", b"\n", b"seq 99999999999999999999999", b"../", b"type b", b"type h", b"\xff\xfe", b"\0", b"#",
    b"." * 300, b"/",
]  # fmt: skip
LOOKS = {
    b"string": ["GETRANGE k 0 -1", "GETBIT k 5", "PFCOUNT k", "STRLEN k"],
    b"list": ["LRANGE k 0 -1", "LPOP k", "RPOP k", "LINSERT k BEFORE a b", "LREM k 0 a", "LINDEX k -1"],
    b"set": ["SMEMBERS k", "SSCAN k 0", "SPOP k", "SADD k zz", "SRANDMEMBER k -3"],
    b"hash": ["HGETALL k", "HSCAN k 0", "HSET k a 1", "HDEL k f", "HTTL k FIELDS 1 a", "HPERSIST k FIELDS 1 a"],
    b"zset": ["ZRANGE k 0 -1 WITHSCORES", "ZADD k 3 n", "ZPOPMIN k", "ZREM k a", "ZRANK k b", "ZCOUNT k -inf inf"],
    b"stream": [
        "XRANGE k - +", "XREVRANGE k + -", "XINFO STREAM k FULL", "XPENDING k g", "XPENDING k g - + 10", "XDEL k 1-1",
        "XAUTOCLAIM k g c 0 0", "XREADGROUP GROUP g c STREAMS k >", "XADD k * a b", "XTRIM k MAXLEN 1", "XACK k g 1-1",
        "XGROUP DELCONSUMER k g alice",
    ],
}  # fmt: skip
ALWAYS = ["OBJECT ENCODING k", "MEMORY USAGE k", "DEBUG DIGEST-VALUE k", "COPY k k2 REPLACE", "DUMP k"]


def broken(rng: random.Random, data: bytes, strange: list[bytes], *, first: int = 0) -> bytes:
    """`data` with one to three faults behind its byte number `first`."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        if len(changed) <= first:
            break
        at, other = rng.randrange(first, len(changed)), rng.randrange(len(changed))
        how = rng.randrange(6)
        if how == 0:
            changed[at] = rng.randrange(256)
        elif how == 1:
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            piece = rng.choice(strange)
            changed[at : at + rng.choice((0, 1, len(piece)))] = piece
        elif how == 3:
            del changed[at : at + rng.randrange(1, 30)]
        elif how == 4:
            changed[at:at] = changed[other : other + rng.randrange(1, 40)]
        else:
            del changed[at:]
    return bytes(changed)


def with_checksum(body: bytes) -> bytes:
    payload = body + rdb.VERSION.to_bytes(2, "little")
    return payload + int(rdb.CRC.calc(payload)).to_bytes(CHECKSUM_BYTES, "little")


def read_snapshot(rng: random.Random) -> str:
    """A file that has no checksum: nothing but the reader's own care is left."""
    whole = rng.choice(SNAPSHOTS)[:-CHECKSUM_BYTES]
    try:
        for _ in load_rdb(io.BytesIO(broken(rng, whole, IN_SNAPSHOTS, first=HEADER_BYTES) + bytes(CHECKSUM_BYTES))):
            pass
    except RdbError as error:
        return "refused" if "(at offset " in str(error) else f"no offset: {error}"
    return "taken"


def restore(node: InProcessNode, payloads: list[bytes], rng: random.Random) -> str:
    """A payload whose checksum is right; what is taken can be used."""
    payload = with_checksum(broken(rng, rng.choice(payloads)[: -CHECKSUM_BYTES - 2], IN_SNAPSHOTS) or b"\0")
    reply = node.client.raw("RESTORE", "k", 0, payload, "REPLACE")
    if not reply.startswith(b"+OK"):
        foreseen = (b"-ERR Bad data format\r\n", b"-ERR DUMP payload version or checksum are wrong\r\n")
        return "refused" if reply in foreseen else f"answered {reply!r}"
    looks = LOOKS[node("TYPE", "k")]
    for look in (*rng.sample(looks, len(looks)), *ALWAYS):
        node.client.raw(*look.split())
    return "taken"


def start(directory: Path, rng: random.Random) -> str:
    """An append-only file, or its manifest."""
    gc.collect()  # of the node before: its parts know each other
    shutil.rmtree(directory, ignore_errors=True)
    files = directory / "appendonlydir"
    files.mkdir(parents=True)
    manifest, commands = MANIFEST, COMMANDS
    if rng.random() < 0.3:
        manifest = broken(rng, manifest, IN_MANIFESTS)
    else:
        commands = broken(rng, commands, IN_COMMANDS)
    (files / "appendonly.aof.manifest").write_bytes(manifest)
    (files / "appendonly.aof.1.base.rdb").write_bytes(SNAPSHOTS[1])
    (files / "appendonly.aof.1.incr.aof").write_bytes(commands)
    try:
        Node(directory, ("aof-load-truncated", rng.choice(("yes", "no"))))
    except AofError as error:
        text = str(error)
        return "refused" if "\n" not in text and len(text) < 1000 else f"not one line: {text!r}"
    return "taken"


def payloads() -> list[bytes]:
    """DUMP's, of every key of the snapshots."""
    entries = [entry for snapshot in SNAPSHOTS for entry in load_rdb(io.BytesIO(snapshot))]
    return [dump_payload(entry.value, Configuration([])) for entry in entries]


def outcomes(first: int, count: int) -> dict[str, object]:
    node = InProcessNode(("enable-debug-command", "yes"))
    whole = payloads()
    directory = Path(tempfile.mkdtemp())
    kinds: dict[str, tuple[int, Callable[[random.Random], str]]] = {
        "snapshots": (count, read_snapshot),
        "payloads": (count, lambda rng: restore(node, whole, rng)),
        "append-only files": (count // 20, lambda rng: start(directory, rng)),
    }
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MORE_MEMORY_BYTES,) * 2)
    signal.signal(signal.SIGALRM, _too_long)
    found: dict[str, object] = {}
    try:
        for kind, (tries, attempt) in kinds.items():
            counts: Counter[str] = Counter()
            for seed in range(first, first + tries):
                signal.alarm(PATIENCE_S)
                try:
                    outcome = attempt(random.Random(f"{kind} {seed}"))
                except Exception:  # noqa: BLE001 - whatever it is, it is to be told
                    outcome = format_exc()
                signal.alarm(0)
                counts[outcome if outcome in ("taken", "refused") else f"seed {seed}: {outcome}"] += 1
            found[kind] = counts
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return found


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"not done in {PATIENCE_S} s")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(outcomes(int(sys.argv[1]), int(sys.argv[2]))))
