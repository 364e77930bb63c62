"""A node that is started over files that are broken: one clear line in the log, exit status 1, in little memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.persistence.corruption import COMMANDS, HUGE, MANIFEST, SNAPSHOTS

pytestmark = pytest.mark.system
ROOT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 500 << 20
"""Of address space. A node without data takes about half of that."""
DEADLINE_S = 30


def snapshot(content: bytes) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        (directory / "dump.rdb").write_bytes(content)

    return write


def append_only(
    *, manifest: bytes = MANIFEST, base: bytes | None = SNAPSHOTS[0], increment: bytes = COMMANDS
) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        files = directory / "appendonlydir"
        files.mkdir()
        (files / "appendonly.aof.manifest").write_bytes(manifest)
        (files / "appendonly.aof.1.incr.aof").write_bytes(increment)
        if base is not None:
            (files / "appendonly.aof.1.base.rdb").write_bytes(base)

    return write


def directory_in_place_of(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).mkdir(parents=True)


CASES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a length of 2^60": (
        snapshot(b"REDIS0010\0\x01k" + HUGE + b"v"),
        "loading the DB from dump.rdb: Unexpected end of the data (at offset 21)",
    ),
    "a cut": (snapshot(SNAPSHOTS[0][:-20]), f"Unexpected end of the data (at offset {len(SNAPSHOTS[0]) - 20})"),
    "a flipped bit": (snapshot(SNAPSHOTS[1][:-1] + b"\0"), f"Wrong RDB checksum (at offset {len(SNAPSHOTS[1])})"),
    "a directory for a snapshot": (directory_in_place_of("dump.rdb"), "Is a directory"),
    "no base": (append_only(base=None), "Unable to obtain the AOF file appendonly.aof.1.base.rdb length"),
    "a broken base": (append_only(base=SNAPSHOTS[0][:-20]), "Error reading the RDB base file appendonly.aof.1."),
    "a broken increment": (append_only(increment=COMMANDS + b"\0"), f"at offset {len(COMMANDS)})"),
    "a long argument": (append_only(increment=b"*1\r\n$999999999999\r\n"), "Unexpected end of file reading"),
    "a broken manifest": (append_only(manifest=b"file ../x seq 1 type b\n"), "File can't be a path, just a filename"),
    "an odd name": (append_only(manifest=b'file "a\\x00b" seq 1 type b\n'), "Invalid AOF manifest file format"),
    "a directory for a manifest": (directory_in_place_of("appendonlydir/appendonly.aof.manifest"), "Is a directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_start_ends_with_one_clear_line(tmp_path: Path, case: str) -> None:
    prepare, expected = CASES[case]
    prepare(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    command = [
        sys.executable, "-m", "cluster", "--port", "0", "--unixsocket", "s", "--cluster-enabled", "no", "--dir",
        str(tmp_path),
        "--appendonly", "yes" if (tmp_path / "appendonlydir").exists() else "no", "--aof-load-truncated", "no",
    ]  # fmt: skip
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )  # fmt: skip
    output = run.stdout + run.stderr
    assert run.returncode == 1, output
    assert expected in output
    assert "Traceback" not in output
    assert "Ready to accept" not in output
    assert {path: path.read_bytes() for path in before} == before, "what may be mended by hand is left as it was"
