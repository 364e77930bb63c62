"""The state's file: whole or untouched, durable, and one process's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bus.storage import SETTLE_S, StateFile, StorageError


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "nodes.conf")
    assert file.load() is None
    file.save("first\n")
    file.save("second \udcff\n")
    assert file.load() == "second \udcff\n"
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.conf"]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(tmp_path / "nodes.conf")
    file.save("old\n")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        file.save("new\n")
    assert file.load() == "old\n"
    assert [path.name for path in tmp_path.iterdir()] == ["nodes.conf"]


def test_the_file_is_synced_before_it_takes_its_name_and_the_directory_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        steps.append("sync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")
        real_sync(descriptor)

    def replace(source: str, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    StateFile(tmp_path / "nodes.conf").save("text\n")
    assert steps == ["sync file", "rename", "sync directory"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("bus.storage.time.monotonic", lambda: now[0])
    return now


def _locked(path: Path) -> StateFile:
    file = StateFile(path)
    file.lock()
    return file


def test_many_small_changes_replace_the_file_once_and_a_killed_process_has_lost_none(
    tmp_path: Path, clock: list[float]
) -> None:
    path = tmp_path / "nodes.conf"
    file = _locked(path)
    for number in range(5):
        file.save(f"{number}\n" * (9 - number), durable=False)
    assert path.read_text() == "0\n" * 9, "one change is in the file at once"
    file.close()  # as the system does for a process that is killed
    again = _locked(path)
    assert again.load() == "4\n" * 5
    clock[0] += SETTLE_S
    again.settle()
    assert path.read_text() == again.load() == "4\n" * 5


def test_what_is_durable_is_in_the_file_and_nothing_older_comes_back(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "nodes.conf"
    file = _locked(path)
    file.save("a\n")
    file.save("b\n", durable=False)
    file.save("c\n")
    assert path.read_text() == "c\n"
    file.close()
    again = _locked(path)
    assert again.load() == "c\n"
    clock[0] += SETTLE_S
    again.settle()
    assert path.read_text() == "c\n"


@pytest.mark.parametrize("left", [0, 1, 40, 75, 80])
def test_half_a_change_is_none(tmp_path: Path, clock: list[float], left: int) -> None:
    path = tmp_path / "nodes.conf"
    file = _locked(path)
    file.save("old\n")
    file.save("new and longer\n", durable=False)
    beside = path.with_name("nodes.conf.lock")
    file.close()
    beside.write_bytes(beside.read_bytes()[:left])
    assert _locked(path).load() == "old\n"


def test_a_file_that_somebody_else_put_there_counts(tmp_path: Path, clock: list[float]) -> None:
    path = tmp_path / "nodes.conf"
    file = _locked(path)
    file.save("old\n")
    file.save("new\n", durable=False)
    file.close()
    path.write_text("from a backup\n")
    assert _locked(path).load() == "from a backup\n"


HOLDER = """
import sys
from pathlib import Path
from bus.storage import StateFile
file = StateFile(Path(sys.argv[1]))
file.lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "nodes.conf"
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        file = StateFile(path)
        with pytest.raises(StorageError, match="already used by a different Redis Cluster node") as caught:
            file.lock()
        assert "\n" not in str(caught.value)
        holder.kill()
        holder.wait()
    file.lock()
    file.save("mine\n")
    with pytest.raises(StorageError, match="already used"):
        StateFile(path).lock()
    file.close()
    other = StateFile(path)
    other.lock()
    other.close()


def test_a_directory_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        StateFile(tmp_path / "absent" / "nodes.conf").lock()


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "nodes.conf").mkdir()
    with pytest.raises(StorageError, match=r"nodes\.conf: Is a directory"):
        StateFile(tmp_path / "nodes.conf").load()
