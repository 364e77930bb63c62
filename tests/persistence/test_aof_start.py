"""What a start makes of the append-only file it finds: whole, torn, damaged, old, or none."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from cluster.persistence.aof_directory import AofError
from cluster.protocol.replies import request as encoded
from tests.commands.whole import WholeNode
from tests.persistence.aof_node import Node, again, digest
from tests.persistence.test_aof_commands import DATA


def torn(tmp_path: Path, tail: bytes) -> tuple[Node, Path]:
    node = Node(tmp_path)
    node("SET", "a", 1)
    file = node.aof.directory.path / node.aof.directory.manifest.increments[-1].name
    with file.open("ab") as increment:
        increment.write(tail)
    return node, file


@pytest.mark.parametrize("tail", [
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1", b"*", b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n",
    b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nEXEC\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n*1\r\n$4\r\nEX",
])  # fmt: skip
def test_a_torn_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    node, file = torn(tmp_path, tail)
    good = len(file.read_bytes()) - len(tail) + (29 if b"EXEC\r\n*1" in tail else 0)
    other = again(node, tmp_path)
    assert digest(other) == digest(node)
    assert len(file.read_bytes()) == good
    assert f"!!! Truncating the AOF {file.name} at offset {good} !!!" in other.warned()
    other("INCR", "a")
    assert digest(again(other, tmp_path)) == digest(other)


def test_or_the_server_does_not_start(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"*1\r\n")
    before = file.read_bytes()
    with pytest.raises(AofError, match=r"Unexpected end of file reading the append only file .*\.incr\.aof\. You can"):
        again(node, tmp_path, ("aof-load-truncated", "no"))
    assert file.read_bytes() == before


def test_what_is_no_command_is_named_by_its_place(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"\0\0\0\0")
    size = len(file.read_bytes())
    with pytest.raises(AofError, match=rf"Bad file format reading the append only file .*at offset {size - 4}"):
        again(node, tmp_path)
    assert len(file.read_bytes()) == size


def test_what_changes_no_data_is_passed_over(tmp_path: Path) -> None:
    node, _ = torn(tmp_path, b"".join(map(encoded, [
        [b"PING"], [b"SHUTDOWN", b"NOSAVE"], [b"CONFIG", b"SET", b"maxmemory", b"1"], [b"GET", b"a"], [b"INCR", b"a"],
        [b"MONITOR"], [b"DEBUG", b"SEGFAULT"], [b"SUBSCRIBE", b"c"], [b"BLPOP", b"none", b"0"], [b"INCR", b"a"],
    ])))  # fmt: skip
    other = again(node, tmp_path)
    assert other("GET", "a") == b"3"
    assert (other.shutdowns, other.crashed, other("CONFIG", "GET", "maxmemory")) == ([], False, [b"maxmemory", b"0"])


def damaged(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are others, or a stretch is gone, or stands elsewhere too."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at, behind = sorted(rng.randrange(len(changed)) for _ in range(2))
        how = rng.randrange(3)
        if how == 0:
            changed[at] = rng.randrange(256)
        elif how == 1:
            del changed[at : min(behind, at + 40)]
        else:
            changed[behind:behind] = changed[at : at + 40]
    return bytes(changed)


@pytest.mark.parametrize("base", ["rdb", "aof"])
def test_a_damaged_file_is_loaded_or_complained_of(
    tmp_path: Path, request: pytest.FixtureRequest, base: str
) -> None:
    """Nothing else comes of it: no other error, no hang, no crash."""
    node = Node(tmp_path)
    for command in DATA:
        node.client.raw(*command)
    manifest, file = node.aof.directory.manifest.rewritten("appendonly.aof", base)
    whole = b"".join(node.aof.rewrite.chunks(base))
    node.aof.directory.save(manifest)
    rng = random.Random(base)
    complaints: list[str] = []
    for _ in range(2000 if request.config.getoption("--long") else 30):
        (node.aof.directory.path / file.name).write_bytes(damaged(rng, whole))
        try:
            Node(tmp_path, ("databases", "4"), ("aof-load-truncated", rng.choice(["yes", "no"])))
        except AofError as error:
            complaints.append(str(error))
    assert len(complaints) > 10
    assert all(file.name in complaint for complaint in complaints)


def test_an_unknown_command_ends_the_start(tmp_path: Path) -> None:
    node, _ = torn(tmp_path, b"*1\r\n$5\r\nBOGUS\r\n")
    with pytest.raises(AofError, match="Unknown command 'BOGUS' reading the append only file"):
        again(node, tmp_path)


def test_a_file_before_the_last_is_not_cut(tmp_path: Path) -> None:
    node, file = torn(tmp_path, b"*1\r\n$4\r\nPI")
    node.aof.begin_increment()
    before = file.read_bytes()
    with pytest.raises(AofError, match="the truncated file is not the last file"):
        again(node, tmp_path)
    assert file.read_bytes() == before


def test_a_missing_file_ends_the_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    (node.aof.directory.path / "appendonly.aof.1.base.rdb").unlink()
    with pytest.raises(AofError, match=r"Unable to obtain the AOF file appendonly\.aof\.1\.base\.rdb length"):
        again(node, tmp_path)


def test_a_broken_base_ends_the_start(tmp_path: Path) -> None:
    node = Node(tmp_path)
    base = node.aof.directory.path / "appendonly.aof.1.base.rdb"
    base.write_bytes(base.read_bytes()[:-9])
    with pytest.raises(AofError, match=r"Error reading the RDB base file .*at offset"):
        again(node, tmp_path)


def test_a_file_that_no_manifest_names_is_nobodys(tmp_path: Path) -> None:
    node = Node(tmp_path)
    stray = node.aof.directory.path / "appendonly.aof.2.incr.aof"
    stray.write_bytes(b"left by a process that died too early")
    node.aof.begin_increment()
    node("SET", "a", 1)
    assert digest(again(node, tmp_path)) == digest(node)


def test_the_one_file_of_old_is_moved_in(tmp_path: Path) -> None:
    old = tmp_path / "appendonly.aof"
    old.write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n5\r\n")
    node = Node(tmp_path)
    assert node("INCR", "a") == 6
    assert not old.exists()
    assert "Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir)." in [
        text for _, text in node.logged
    ]
    assert (tmp_path / "appendonlydir" / "appendonly.aof.manifest").read_text() == (
        "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    assert digest(again(node, tmp_path)) == digest(node)


def test_turned_on_in_the_configuration_it_begins_with_the_snapshot(tmp_path: Path) -> None:
    before = WholeNode(tmp_path)
    before("SET", "a", 1)
    before("SAVE")
    node = Node(tmp_path)
    node("INCR", "a")
    (tmp_path / "dump.rdb").unlink()
    assert again(node, tmp_path)("GET", "a") == b"2"


def test_expired_keys_are_those_of_the_moment_not_of_the_load(tmp_path: Path) -> None:
    """What had expired when the process ended is deleted by what the file says, or by time, afterwards."""
    node = Node(tmp_path)
    node.client.chunk(("SET", "a", 1, "PX", 100), ("RPUSH", "l", 1), ("PEXPIRE", "l", 100))
    node.advance(200)
    node.client.chunk(("SET", "a", 2), ("RPUSH", "l", 2), ("HSET", "h", "f", 1, "g", 2))
    node("HPEXPIRE", "h", 50, "FIELDS", 1, "f")
    node.advance(100)
    node("HGETALL", "h")
    other = again(node, tmp_path)
    assert other("LRANGE", "l", 0, -1) == [b"2"]
    assert other("GET", "a") == b"2"
    assert digest(other) == digest(node)
