"""Writing a file so that it is complete or absent: temporary name, fsync, rename, fsync of the directory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def write_safely(
    path: Path, chunks: Iterable[bytes], *, mode: int = 0o644, temporary: Path | None = None, sync_every: int = 0
) -> int:
    """Replace `path` as a whole; the bytes written. Raises OSError, and then the old file is still there.

    `temporary`: the name to use meanwhile, beside `path`, for a caller who may have to clean up after us.
    `sync_every`: so many bytes, so that the disk has not everything to take at the end; 0: once.
    """
    if temporary is None:
        handle, name = tempfile.mkstemp(prefix=f"temp-{path.name}.", dir=path.parent)
        temporary = Path(name)
    else:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    written = 0
    try:
        with os.fdopen(handle, "wb") as file:
            synced = 0
            for chunk in chunks:
                written += file.write(chunk)
                if sync_every and written - synced >= sync_every:
                    synced = written
                    file.flush()
                    os.fsync(file.fileno())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    return written


def make_directory(path: Path) -> None:
    """Make a directory whose name outlives a crash of the machine, unless there is one. Raises OSError."""
    try:
        path.mkdir(mode=0o755)
    except FileExistsError:
        return
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Have the names in a directory on disk. Raises OSError."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
