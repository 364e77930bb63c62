"""The state's file: whole, never older than was promised, and one process's."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bus.storage import PLACE_BYTES, StateFile, StorageError, decode

PAGE_BYTES = 4096
ROOT = Path(__file__).resolve().parents[2]


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodes.conf"


@pytest.fixture
def start(path: Path) -> Iterator[Callable[[], StateFile]]:
    """The file in the hands of a process that starts; the one before is no more."""
    files: list[StateFile] = []

    def started() -> StateFile:
        for file in files:
            file.close()
        files.append(StateFile(path))
        files[-1].lock()
        return files[-1]

    yield started
    for file in files:
        file.close()


Start = Callable[[], StateFile]


def _names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


# -- what is kept ------------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(path: Path, start: Start) -> None:
    file = start()
    assert file.load() is None
    file.save("first\n")
    assert path.read_text() == "first\n"
    file.save("second \udcff\n")
    assert start().load() == "second \udcff\n"
    assert _names(path) == ["nodes.conf", "nodes.conf.lock"]


@pytest.mark.parametrize("durable", [True, False])
def test_a_killed_process_has_lost_nothing_that_was_saved(path: Path, start: Start, durable: bool) -> None:
    file = start()
    file.load()
    for number in range(50):
        file.save(f"{number}\n" * (60 - number), durable=durable)
        if number % 7 == 0:
            file.settle()
        if number % 5 == 0:
            file = start()
            assert file.load() == f"{number}\n" * (60 - number)
    assert path.read_text() == "49\n" * 11


def test_the_last_one_is_loaded_even_if_it_is_as_one_before(start: Start) -> None:
    file = start()
    file.load()
    for text in ("a\n", "b\n", "a\n"):
        file.save(text, durable=text == "a\n")
    assert start().load() == "a\n"


def test_to_settle_puts_the_last_one_into_the_state_s_own_file(path: Path, start: Start) -> None:
    file = start()
    file.load()
    file.save("a\n")
    file.save("b\n", durable=False)
    assert not file.is_settled
    file.settle()
    assert path.read_text() == "b\n"
    assert file.is_settled


def test_a_state_that_outgrows_its_place_gets_a_larger_one(path: Path, start: Start) -> None:
    file = start()
    file.load()
    for size in (10, PLACE_BYTES, 10, 5 * PLACE_BYTES, 7):
        file.save("x" * size + "\n", durable=False)
        file = start()
        assert file.load() == "x" * size + "\n"


# -- a disk that fails, a process that is killed within a call ------------------------------------------------------


def _break(patch: pytest.MonkeyPatch, name: str, call: Callable[..., object]) -> None:
    patch.setattr(os, name, call)


@pytest.mark.parametrize("size", [2_000, 6_000, 40_000])
def test_a_save_that_was_ended_at_any_page_leaves_the_one_before(
    start: Start, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Linux ends a write of a killed process at the end of a page."""
    file = start()
    file.load()
    before = ""
    real = os.pwrite
    file.save("w" * size + "\n")
    for pages in range(size // PAGE_BYTES + 1):
        for durable in (True, False):
            before = f"{pages}{durable} " * (size // 8) + "\n"
            file.save(before, durable=durable)
            with monkeypatch.context() as patch, suppress(Killed):

                def torn(handle: int, data: memoryview, at: int, pages: int = pages) -> int:
                    real(handle, data[: pages * PAGE_BYTES], at)
                    raise Killed

                _break(patch, "pwrite", torn)
                file.save("n" * size + "\n", durable=False)
            file = start()
            assert file.load() == before


def test_a_write_that_takes_less_than_all_is_gone_on_with(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    file = start()
    file.load()
    file.save("old\n")
    real = os.pwrite
    _break(monkeypatch, "pwrite", lambda handle, data, at: real(handle, data[:1000], at))
    file.save("x" * 5_000 + "\n", durable=False)
    assert start().load() == "x" * 5_000 + "\n"


@pytest.mark.parametrize("room", [0, 10, 5_000, 2 * PLACE_BYTES, 3 * PLACE_BYTES + 5_000])
def test_a_full_disk_is_an_error_and_what_was_saved_before_is_there(
    start: Start, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("newer\n", durable=False)
    real, left = os.pwrite, [room]

    def full(handle: int, data: memoryview, at: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(handle, data[: left[0]], at)
        left[0] -= count
        return count

    with monkeypatch.context() as patch:
        _break(patch, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            file.save("large" * PLACE_BYTES + "\n")
    again = start()
    assert again.load() == "newer\n"
    again.save("large" * PLACE_BYTES + "\n")
    assert start().load() == "large" * PLACE_BYTES + "\n"


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_file_that_cannot_be_replaced_is_an_error_and_nothing_is_lost(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    file = start()
    file.load()
    file.save("old\n")

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        _break(patch, broken, full)
        for number in range(30):
            file.save(f"{number}\n")
            with pytest.raises(OSError, match="No space left"):
                file.settle()
    assert path.read_text() == "old\n"
    assert _names(path) == ["nodes.conf", "nodes.conf.lock"]
    file = start()
    assert file.load() == "29\n"
    file.settle()
    assert path.read_text() == "29\n"


def test_a_directory_that_cannot_be_synced_is_an_error_and_nothing_is_lost(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = start()
    file.load()
    file.save("old\n")
    real = os.fsync

    def bad(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    with monkeypatch.context() as patch:
        _break(patch, "fsync", bad)
        for number in range(30):
            file.save(f"{number}\n")
            with pytest.raises(OSError, match="Input/output"):
                file.settle()
    file.save("newest\n")
    assert start().load() == "newest\n"


def test_the_file_is_synced_before_it_takes_its_name_and_the_directory_after(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("new\n", durable=False)
    steps: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        steps.append("sync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "sync file")
        real_sync(descriptor)

    def replace(source: str, target: Path) -> None:
        steps.append("rename")
        real_replace(source, target)

    _break(monkeypatch, "fsync", sync)
    _break(monkeypatch, "replace", replace)
    file.settle()
    assert steps == ["sync file", "rename", "sync directory"]


def test_a_durable_save_waits_for_the_disk_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moving slots is as fast as that."""
    file = start()
    file.load()
    file.save("old\n")
    syncs: list[str] = []
    for name in ("fsync", "fdatasync"):
        _break(monkeypatch, name, lambda _handle, name=name: syncs.append(name))
    file.save("new\n")
    assert syncs == ["fdatasync"]
    file.save("newer\n", durable=False)
    assert syncs == ["fdatasync"]


@pytest.mark.parametrize("when", ["fsync", "replace"])
@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_what_is_saved_while_the_file_is_being_replaced_is_kept(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch, when: str, killed: bool, count: int
) -> None:
    """Before the file has its name, and after; then the process goes on, or is killed."""
    file = start()
    file.load()
    file.save("old\n")
    file.save("new\n", durable=False)
    real = getattr(os, when)
    times = [0]

    def meanwhile(*arguments: object) -> None:
        real(*arguments)
        for number in range(count):
            file.save(f"{times[0]} {number}\n", durable=number == 1)
        times[0] += 1
        if killed and (when == "replace" or times[0] == 2):
            raise Killed

    with monkeypatch.context() as patch, suppress(Killed):
        _break(patch, when, meanwhile)
        file.settle()
    assert path.read_text() == "new\n"
    last = f"{times[0] - 1} {count - 1}\n" if count else "new\n"
    file = start()
    assert file.load() == last
    file.settle()
    assert path.read_text() == last


KILLED = """
import os, sys
from pathlib import Path
from bus.storage import StateFile
file = StateFile(Path(sys.argv[1]))
file.lock()
file.load()
file.save("0 base\\n")
number = 0
while True:
    number += 1
    file.save(f"{number:08d} " * 10_000 + "\\n", durable=False)
    os.write(1, number.to_bytes(8, "big"))
"""


def test_kill_9_at_any_time_leaves_what_was_answered(path: Path, start: Start) -> None:
    rng = random.Random(1)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, cwd=ROOT
        ) as process:
            assert process.stdout is not None
            process.stdout.read(8 * rng.randrange(1, 60))
            process.send_signal(signal.SIGKILL)
            answered = process.stdout.read()
        text = start().load()
        assert text is not None
        assert int(text.split()[0]) >= int.from_bytes(answered[-8:], "big")
        start().close()


# -- what others did to the files -----------------------------------------------------------------------------------


def test_a_file_that_somebody_else_put_there_counts(path: Path, start: Start) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("new\n", durable=False)
    file.close()
    path.write_text("from a backup\n")
    file = start()
    assert file.load() == "from a backup\n"
    assert file.passed_over == "new\n", "so that what must not be forgotten can be taken from there"
    file.save("newer\n", durable=False)
    assert start().load() == "newer\n"


def test_an_old_file_that_was_put_back_counts(path: Path, start: Start) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("new\n")
    file.settle()
    file.close()
    path.write_text("old\n")
    assert start().load() == "old\n"


def test_a_file_that_was_deleted_makes_a_new_node(path: Path, start: Start) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("new\n", durable=False)
    file.close()
    path.unlink()
    file = start()
    assert file.load() is None
    file.save("another\n")
    assert start().load() == "another\n"


def test_an_empty_file_is_damage_where_there_was_a_state(path: Path, start: Start) -> None:
    file = start()
    path.write_bytes(b"")
    assert file.load() == "", "as a file that was made for a new node"
    file.save("vote\n")
    file.settle()
    file.close()
    path.write_bytes(b"")
    with pytest.raises(StorageError, match=r"nodes\.conf is empty, but this node has had a state") as caught:
        start().load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("left", [0, 1, 40, 75, 80, PAGE_BYTES, 3 * PAGE_BYTES])
def test_a_damaged_lock_file_leaves_the_state_s_own(path: Path, start: Start, left: int) -> None:
    file = start()
    file.load()
    file.save("old\n")
    file.save("new and longer\n", durable=False)
    beside = path.with_name("nodes.conf.lock")
    file.close()
    beside.write_bytes(beside.read_bytes()[:left])
    file = start()
    assert file.load() == "old\n"
    file.save("newer\n", durable=False)
    assert start().load() == "newer\n"


def test_noise_in_a_place_is_no_state() -> None:
    for noise in (b"", bytes(4096), b"\xff" * 4096, b"a b c d\n", b"a 1 1 -\nx", b"a 1 99999999 -\nx", b"a -1 -1 -\nx"):
        assert decode(noise) is None


# -- one process ----------------------------------------------------------------------------------------------------


HOLDER = """
import sys
from pathlib import Path
from bus.storage import StateFile
file = StateFile(Path(sys.argv[1]))
file.lock()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
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
    file.load()
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


def test_a_file_that_cannot_be_read_is_one_clear_line(path: Path, start: Start) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match=r"nodes\.conf: Is a directory"):
        start().load()
