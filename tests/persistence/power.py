"""What a crash of the machine leaves of a directory: what was synced, and of the rest whatever the dice say.

`Watched` notes each sync: of a file, its bytes as of then; of a directory, its names. Afterwards each name that was not
synced since it changed may be the old one or the new (so that a manifest may be there without the file it names), and
each file may have lost what was written since its last sync, or half of it; of one that was changed in place, any
pages.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Names = dict[Path, int]
PAGE_BYTES = 4096


class Watched:
    """From now on; what is there already is on disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self._root = root
        self._names: dict[Path, Names] = {}  # of each directory, as of its last sync
        self._bytes: dict[int, bytes] = {}  # of each file that was synced
        self._held: list[int] = []  # so that the system gives no file the number of another
        for folder, _, files in os.walk(root):
            self._sync_folder(Path(folder))
            for name in files:
                self._bytes[os.stat(os.path.join(folder, name)).st_ino] = Path(folder, name).read_bytes()
        monkeypatch.setattr(os, "fsync", self.sync)
        monkeypatch.setattr(os, "fdatasync", self.sync)
        monkeypatch.setattr(os, "unlink", self._unlink(os.unlink))

    def sync(self, fd: int) -> None:
        """In place of the system's."""
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if path.is_dir():
            self._sync_folder(path)
        else:
            self._bytes[os.fstat(fd).st_ino] = Path(f"/proc/self/fd/{fd}").read_bytes()
            self._held.append(os.open(f"/proc/self/fd/{fd}", os.O_PATH))  # which holds no lock, unlike a duplicate

    def _unlink(self, call: Callable[..., None]) -> Callable[..., None]:
        def unlink(path: Any, **options: Any) -> None:
            self._held.append(os.open(path, os.O_RDONLY))
            call(path, **options)

        return unlink

    def _sync_folder(self, folder: Path) -> None:
        self._names[folder] = _names_in(folder)

    def close(self) -> None:
        for fd in self._held:
            os.close(fd)
        self._held.clear()

    def left(self, target: Path, rng: random.Random) -> None:
        """Put into `target` what may be left."""
        self._leave(self._root, target, rng)

    def _leave(self, folder: Path, target: Path, rng: random.Random) -> None:
        target.mkdir()
        old, new = self._names.get(folder, {}), _names_in(folder)
        chosen: Names = {}
        favour = rng.random()  # all old, all new, and what lies between
        for path in sorted(old.keys() | new.keys()):
            number = (new if rng.random() < favour else old).get(path)
            if number is not None:
                chosen[path] = number
        for path, number in (*new.items(), *old.items()):  # a file that was renamed has one of its names
            if number in old.values() and number not in chosen.values() and number in self._there():
                chosen[path] = number
        for path, number in chosen.items():
            if path.is_dir() or path in self._names:
                if path.is_dir():
                    self._leave(path, target / path.name, rng)
            else:
                (target / path.name).write_bytes(self._content(number, folder, rng))

    def _there(self) -> set[int]:
        """All that was not deleted."""
        return {number for folder, _, _ in os.walk(self._root) for number in _names_in(Path(folder)).values()}

    def _content(self, number: int, folder: Path, rng: random.Random) -> bytes:
        safe = self._bytes.get(number, b"")
        for path, now in _names_in(folder).items():
            if now == number:
                whole = path.read_bytes()
                if len(whole) == len(safe):
                    return _some_pages(safe, whole, rng)
                return rng.choice((safe, whole, whole[: (len(safe) + len(whole)) // 2]))
        return safe


def _some_pages(old: bytes, new: bytes, rng: random.Random) -> bytes:
    favour = rng.random()
    return b"".join(
        (new if rng.random() < favour else old)[at : at + PAGE_BYTES] for at in range(0, len(old), PAGE_BYTES)
    )


def _names_in(folder: Path) -> Names:
    return {Path(entry.path): entry.inode() for entry in os.scandir(folder)}
