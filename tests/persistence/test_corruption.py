"""Broken files and payloads: one error, at once, in little memory, and never anything else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.persistence.rdb_reader import load_rdb
from tests.commands.whole import WholeNode
from tests.persistence.aof_node import Node
from tests.persistence.corruption import COMMANDS, CORPUS, MANIFEST, SNAPSHOTS

ROOT = Path(__file__).resolve().parents[2]
TRIES = 1_500
LONG_TRIES = 200_000


@pytest.mark.timeout(3600)  # with --long
def test_whatever_is_broken_is_taken_or_refused(request: pytest.FixtureRequest) -> None:
    tries = LONG_TRIES if request.config.getoption("--long") else TRIES
    run = subprocess.run(
        [sys.executable, "-m", "tests.persistence.corruption", "0", str(tries)], cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    for kind, counts in found.items():
        assert set(counts) == {"taken", "refused"}, (kind, [text for text in counts if text.startswith("seed")][:3])
        assert counts["taken"] * 50 > counts["refused"], (kind, counts)


def test_the_real_ones_are_loaded(tmp_path: Path) -> None:
    keys = [{(entry.db, entry.key) for entry in load_rdb(io.BytesIO(snapshot))} for snapshot in SNAPSHOTS]
    assert [len(some) for some in keys] == [28, 31]
    (tmp_path / "dump.rdb").write_bytes(SNAPSHOTS[1])
    snapshot = WholeNode(tmp_path)
    snapshot.server.persistence.load()
    files = tmp_path / "appendonlydir"
    files.mkdir()
    (files / "appendonly.aof.manifest").write_bytes(MANIFEST.split(b"\n")[1] + b"\n")
    (files / "appendonly.aof.1.incr.aof").write_bytes(COMMANDS)
    replayed = Node(tmp_path)
    for _, key in keys[1] - {(0, b"many")}:  # that one has ids of the clock
        for node in (snapshot, replayed):
            node("SELECT", 3 if key == b"other" else 0)
        assert snapshot("DEBUG", "DIGEST-VALUE", key) == replayed("DEBUG", "DIGEST-VALUE", key), key
    assert CORPUS.is_dir()


def test_an_unknown_command_is_named_with_its_place(tmp_path: Path) -> None:
    node = Node(tmp_path)
    for number in range(3):
        node("SET", "a", number)
    file = node.aof.directory.path / node.aof.directory.manifest.increments[-1].name
    good = file.stat().st_size
    with file.open("ab") as increment:
        increment.write(b"#TS:1\r\n*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nBO\nGUS\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n")
    with pytest.raises(Exception, match=rf"Unknown command 'BO\\nGUS' .*at offset {good + 7 + 14}\)"):
        Node(tmp_path)
